#pragma once

#include "dumps/layer_stack.hpp"

#include <layerwise/data.hpp>

#include <optional>
#include <vector>

namespace examples::dumps {

/// Which tokens of each sequence take part, beside what masks say.
struct token_choice {
  std::optional<index> sequence_length;  // 0: each file is one; none: what the files say of their sequences
  index skip_first = 0;                  // tokens left out at the start of each sequence; padding does not count
  bool last_only = false;                // only the last token of each sequence that is none of padding
};

/// The lengths of a shard's sequences, by what is asked for, else as the shard has it, else as the files state; empty
/// where nothing tells.
std::vector<index> sequences_of(const token_shard& shard, std::optional<index> asked, std::optional<index> stated);

/// Notes the choice in the shards' `keep`. A shard begins with a new sequence; its last one may be shorter. Throws
/// input_error where sequences are not known, or nothing is left.
void choose_tokens(layer_stack& stack, const token_choice& choice);

/// The mask of tokens [first, first + count) of a shard; nothing when none of them takes part.
std::optional<layerwise::token_mask> mask_of(const token_shard& shard, index first, index count);

/// The mask of all tokens of the stack.
layerwise::token_mask mask_of(const layer_stack& stack);

/// How many tokens take part.
index kept_tokens(const token_shard& shard);

}  // namespace examples::dumps
