#pragma once

#include "dumps/file_part.hpp"
#include "dumps/layer_stack.hpp"

#include <utility>
#include <vector>

namespace examples::dumps {

/// The tokens of some layers, with the shape of their batch: what becomes one shard, or one a sequence of the batch.
struct token_block {
  const file_part* part;
  std::vector<std::pair<const tensor*, index>> layers;  // a tensor, and its element along the layer axis
};

/// The shards of a block: one, unless the sequences of its batch lie too far apart for one stride.
std::vector<token_shard> shards_of(const token_block& block);

/// Puts the mask and the sequences that stand beside the states on the shards of their block. Throws input_error for
/// what does not fit the tokens.
void put_companions(const companions& beside, const tensor_file& file, std::vector<token_shard>& shards);

}  // namespace examples::dumps
