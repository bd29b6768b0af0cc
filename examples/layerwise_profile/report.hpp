#pragma once

#include "layer_stack.hpp"

#include <layerwise/profile.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace layerwise_profile {

/// A profile and what is said above it.
struct report {
  std::string title;  // the model where the file names one, else the file
  std::vector<std::string> files;
  data_type dtype;
  reading taken;                     // from the files
  index tokens_left_out = 0;         // by masks, --skip-first and --last-only
  std::vector<index> layer_numbers;  // of layers[0 ... L - 1] in their model
  std::vector<index> state_numbers;  // of h_0 ... h_L
  layerwise::layer_profile profile;
};

/// Of a profile whose states were not read from files.
report describe_profile(std::string title, std::string text, data_type dtype, layerwise::layer_profile profile);

/// The same of a stack that nothing was measured of yet.
report describe_input(const layer_stack& stack, std::string title);

std::string to_table(const report& source, bool colour);
std::string to_csv(const report& source);
std::string to_json(const report& source);

/// What was taken from the files, in one line: "read hidden_states as [token][layer][dim], as token_ids tells; ..."
std::string taken_line(const report& source);

/// What --dry-run prints: files, tensors in their order, axes, masks, sequences, memory.
std::string to_plan(const layer_stack& stack, const report& source, bool linearity, bool pairs_in_turn);

/// "12 layers, 2048 tokens, 96 dimensions, F16, last state after the final norm, columns centred"
std::string summary(const report& source);

std::string_view text_of(layerwise::final_norm label);  // unspecified, before, after
std::string_view text_of(layerwise::centering choice);  // columns, none
std::string_view text_of(layerwise::solver method);     // as the enumerator is called

}  // namespace layerwise_profile
