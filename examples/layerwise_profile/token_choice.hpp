#pragma once

#include "layer_stack.hpp"

#include <layerwise/token_mask.hpp>

#include <optional>
#include <utility>
#include <vector>

namespace layerwise_profile {

/// Which tokens of each sequence take part. A shard begins with a new sequence; its last one may be shorter.
struct token_choice {
  index sequence_length = 0;  // 0: a shard is one sequence
  index skip_first = 0;       // tokens left out at the start of each sequence
  bool last_only = false;     // only the last token of each sequence

  bool everything() const { return skip_first == 0 && !last_only; }

  bool keeps(index token, index tokens_of_shard) const {
    const auto position = sequence_length > 0 ? token % sequence_length : token;
    const bool is_last = position == sequence_length - 1 || token == tokens_of_shard - 1;
    return position >= skip_first && (is_last || !last_only);
  }

  /// The mask of tokens [first, first + count) of a shard; nothing when none of them takes part.
  std::optional<layerwise::token_mask> mask(index first, index count, index tokens_of_shard) const {
    if (everything()) return layerwise::token_mask();
    bool any = false;
    std::vector<bool> keep;
    for (index token = first; token < first + count; ++token) {
      keep.push_back(keeps(token, tokens_of_shard));
      any = any || keep.back();
    }
    return any ? std::optional(layerwise::token_mask(std::move(keep))) : std::nullopt;
  }

  /// The mask of all tokens of the stack.
  layerwise::token_mask mask(const layer_stack& stack) const {
    if (everything()) return {};
    std::vector<bool> keep;
    for (const auto& shard : stack.shards)
      for (index token = 0; token < shard.tokens; ++token) keep.push_back(keeps(token, shard.tokens));
    return layerwise::token_mask(std::move(keep));
  }
};

}  // namespace layerwise_profile
