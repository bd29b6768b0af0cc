#pragma once

#include "dumps/tensor_file.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace examples::dumps {

/// An order of layers, by what their names mean.
struct layer_order {
  std::vector<std::size_t> order;             // of the names: order[0] is h_0
  std::vector<std::optional<index>> numbers;  // of the states in that order, where the names have numbers
  std::vector<std::size_t> left_out;          // names that are no state of the residual stream, or one twice
  std::string how;                            // "by number", "embeddings, blocks by number, final norm"
};

/// The order of states with those names (of tensors, or of files): the embeddings first, blocks by number, within a
/// block before, amid and after it, the final norm last. Outputs of parts of a block (attn_out, mlp, ln1 ...),
/// positional embeddings and last_hidden_state beside numbered states are left out, and so is a block's input where
/// the output of the one before is there.
///
/// Nothing where the names differ in more than that, or two of them mean the same place.
std::optional<layer_order> order_by_meaning(const std::vector<std::string>& names);

/// Whether the names speak of layers, not only of numbers: layer_3, blocks.0, h.7, l_out-2, hidden_states.4.
bool speak_of_layers(const std::vector<std::string>& names);

/// Whether the name is that of one layer's states only: last_hidden_state, ln_f, wte, hidden_states.12, layer_3.
bool means_one_layer(std::string_view name);
bool means_last_state(std::string_view name);

/// Whether a number in the name is that of a layer: blocks.3.mlp.
bool numbers_a_layer(std::string_view name);

/// Whether two names differ in their numbers only.
bool differ_in_numbers(std::string_view a, std::string_view b);

/// Whether the name is that of the embeddings or of the final norm.
bool means_first_or_last(std::string_view name);

/// Whether the name says that a whole stack of layers is in it: hidden_states, layers.
bool means_stack(std::string_view name);

/// Whether the name is that of something else than hidden states: weights, logits, attention.
bool means_no_state(std::string_view name);

/// ASCII letters in lower case.
std::string lower_case(std::string_view text);

/// Whether `a` comes before `b` when runs of digits are compared as numbers: "h.2" before "h.10".
bool natural_less(std::string_view a, std::string_view b);

/// Whether `name` matches `pattern`, in which * stands for anything.
bool matches(std::string_view name, std::string_view pattern);

}  // namespace examples::dumps
