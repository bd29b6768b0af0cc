#include "metrics/token_sample.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace examples::metrics {

token_sets token_sets_of(const dumps::layer_stack& stack, index sample_size, std::optional<index> sequence_length) {
  token_sets sets;
  sets.all = mask_of(stack);
  const auto kept = sets.all.rows(stack.tokens);
  sets.tokens = std::ssize(kept);
  sets.sample_size = sample_size;
  sets.sampled = std::min(sample_size, sets.tokens);
  std::vector<bool> sample(static_cast<std::size_t>(stack.tokens), false);
  for (index i = 0; i < sets.sampled; ++i) {
    // The middle of part i, as (2 i + 1) / 2 parts of the whole.
    const index place = (2 * i + 1) * sets.tokens / (2 * sets.sampled);
    sample[static_cast<std::size_t>(kept[static_cast<std::size_t>(place)])] = true;
  }
  sets.sample = layerwise::token_mask(std::move(sample));

  index first = 0;
  for (const auto& shard : stack.shards) {
    const auto lengths = sequences_of(shard, sequence_length, stack.sequence_length);
    if (lengths.empty()) {
      sets.sequences.clear();
      break;
    }
    for (const auto length : lengths) sets.sequences.push_back({std::exchange(first, first + length), length});
  }
  return sets;
}

double sample_bytes(index tokens, index dimensions) {
  return 2.0 * sizeof(double) * static_cast<double>(tokens) * static_cast<double>(dimensions);
}

}  // namespace examples::metrics
