#pragma once

#include "dumps/layer_stack.hpp"
#include "dumps/token_choice.hpp"

#include <layerwise/data.hpp>

#include <optional>
#include <vector>

namespace examples::metrics {

using dumps::index;

/// Consecutive rows of a stack.
struct run {
  index first;
  index count;
};

/// Which tokens of a stack metrics are taken of.
struct token_sets {
  layerwise::token_mask all;     // those that take part
  index tokens = 0;              // how many
  index sample_size = 0;         // the most that a metric of neighbours looks at
  layerwise::token_mask sample;  // one of each of so many equal parts of them
  index sampled = 0;             // how many these are
  std::vector<run> sequences;    // empty: not known
};

/// The tokens that take part, a sample of at most `sample_size` of them at places that depend on the numbers alone, and
/// the sequences, where `sequence_length` or the files tell.
token_sets token_sets_of(const dumps::layer_stack& stack, index sample_size, std::optional<index> sequence_length);

/// The bytes that a metric of neighbours takes for so many tokens of layers that are together so wide: in double, the
/// rows, and once more as products want them.
double sample_bytes(index tokens, index dimensions);

}  // namespace examples::metrics
