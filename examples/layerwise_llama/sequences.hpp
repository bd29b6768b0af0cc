#pragma once

#include "model.hpp"

#include <optional>
#include <string>
#include <vector>

namespace examples::layerwise_llama {

struct text_options {
  std::string path;
  std::optional<index> tokens;  // how many are read, special ones included; all where nothing is said
  // Special tokens included; 512, or the model's context where that is less, unless said.
  std::optional<index> sequence_length;
};

/// A text as the model reads it: one sequence after the other.
struct token_sequences {
  std::vector<token> tokens;
  std::vector<index> lengths;        // add up to the tokens
  std::vector<std::string> remarks;  // for the user to see

  index longest() const;
};

/// The text is tokenized whole and cut into sequences, each of which gets the special tokens that the model wants; the
/// last one may be shorter. Throws input_error for what can't be read, a text that is shorter than asked, and sequences
/// longer than the model's context.
token_sequences read_sequences(const language_model& model, const text_options& options);

}  // namespace examples::layerwise_llama
