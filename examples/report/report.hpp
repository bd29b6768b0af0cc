#pragma once

#include "common/reading.hpp"
#include "report/columns.hpp"
#include "report/values.hpp"

#include <layerwise/profile.hpp>

#include <string>
#include <vector>

namespace examples::report {

using layerwise::index;

/// A profile and what is said above it.
struct described_profile {
  std::string title;  // the model where the file names one, else the file
  std::vector<std::string> files;
  std::string dtype;                 // of the states, "F32"
  reading taken;                     // from the files
  index tokens_left_out = 0;         // by masks, --skip-first and --last-only
  std::vector<index> layer_numbers;  // of layers[0 ... L - 1] in their model
  std::vector<index> state_numbers;  // of h_0 ... h_L
  layerwise::layer_profile profile;
};

/// Of a profile whose states were not read from files.
described_profile describe_profile(std::string title, std::string text, std::string dtype,
                                   layerwise::layer_profile profile);

std::string to_table(const described_profile& source, bool colour,
                     const std::vector<column>& columns = default_columns());
std::string to_csv(const described_profile& source);
std::string to_json(const described_profile& source);

/// Of each layer its number, as "layer", and all fields: the rows of CSV and the table.
std::vector<std::vector<named_value>> rows_of(const described_profile& source);

/// What was taken from the files, in one line: "read hidden_states as [token][layer][dim], as token_ids tells; ..."
std::string taken_line(const described_profile& source);

/// "12 layers, 2048 tokens, 96 dimensions, F16, last state after the final norm, columns centred"
std::string summary(const described_profile& source);

}  // namespace examples::report
