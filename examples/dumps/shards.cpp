#include "dumps/shards.hpp"

#include "common/input_error.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>

namespace examples::dumps {
namespace {

index count_of(const std::vector<index>& shape) {
  return std::accumulate(shape.begin(), shape.end(), index{1}, std::multiplies<>());
}

/// A mask has an element for each token; without one no tensor may look like one.
void check_mask(const companions& beside, const tensor_file& file, index tokens) {
  if (!beside.mask)
    for (const auto& candidate : beside.candidates)
      if (count_of(candidate.shape) == tokens)
        reject(file.path, "{} may be a mask: say --mask {} if its ones are the tokens to take, or --mask none",
               in_quotes(candidate.name), shortened(candidate.name, 80));
  if (beside.mask && std::ssize(beside.keep) != tokens)
    reject(file.path, "the mask {}: expected one element for each of the {} tokens, got {}; --mask none does without",
           in_quotes(beside.mask->name), tokens, shape_text(beside.mask->shape));
}

/// The lengths of the sequences that the companions tell; empty where they don't.
std::vector<index> sequences_of(const companions& beside, const tensor_file& file, index tokens) {
  std::vector<index> sequences;
  for (const auto* counted : {&beside.mask, &beside.ids})
    if (*counted && (*counted)->shape.size() == 2 && sequences.empty() && count_of((*counted)->shape) == tokens)
      sequences.assign(static_cast<std::size_t>((*counted)->shape[0]), (*counted)->shape[1]);
  const bool one_sequence = (beside.mask && beside.mask->one_sequence) || (beside.ids && beside.ids->one_sequence) ||
                            (beside.is_of_vllm && beside.ids->shape.size() == 1);
  if (one_sequence) sequences.assign(1, tokens);
  if (!beside.lengths_name) return sequences;
  const index sum = std::accumulate(beside.lengths.begin(), beside.lengths.end(), index{0});
  if (sum == tokens) return beside.lengths;
  if (!beside.mask)  // padded to the length of the batch's token axis
    reject(file.path, "{}: sequences of {} tokens in all, where there are {}: say which are padding with --mask",
           in_quotes(*beside.lengths_name), sum, tokens);
  return sequences;
}

}  // namespace

std::vector<token_shard> shards_of(const token_block& block) {
  const auto& axes = block.part->axes.axes;
  const auto stride = [&](const tensor& item, axis which) {
    const auto place = std::ranges::find(axes, which) - axes.begin();
    return place < std::ssize(axes) ? item.strides()[static_cast<std::size_t>(place)] : 0;
  };
  const tensor& first = *block.layers.front().first;
  const index batch = size_of(first, axes, axis::batch), tokens = size_of(first, axes, axis::token);
  const bool together = batch == 1 || std::ranges::all_of(block.layers, [&](const auto& layer) {
                          return stride(*layer.first, axis::batch) == tokens * stride(*layer.first, axis::token);
                        });
  const index length = together ? batch * tokens : tokens;
  std::vector<token_shard> result;
  for (index item = 0; item < (together ? 1 : batch); ++item) {
    token_shard shard{block.part->file->path, length, {}, {}, {}};
    if (has(axes, axis::batch)) shard.sequences.assign(static_cast<std::size_t>(length / tokens), tokens);
    for (const auto& [tensor, number] : block.layers) {
      const auto offset = number * stride(*tensor, axis::layer) + item * stride(*tensor, axis::batch);
      shard.states.push_back({tensor->bytes.data() + offset * static_cast<index>(size_of(tensor->dtype)),
                              stride(*tensor, axis::token), stride(*tensor, axis::dim)});
    }
    result.push_back(std::move(shard));
  }
  return result;
}

void put_companions(const companions& beside, const tensor_file& file, std::vector<token_shard>& shards) {
  const index tokens =
      std::accumulate(shards.begin(), shards.end(), index{0}, [](index n, const auto& s) { return n + s.tokens; });
  check_mask(beside, file, tokens);
  const auto sequences = sequences_of(beside, file, tokens);
  const auto& keep = beside.keep;
  index first = 0;
  for (auto& shard : shards) {
    if (!keep.empty()) shard.keep.assign(keep.begin() + first, keep.begin() + first + shard.tokens);
    first += shard.tokens;
    if (shards.size() == 1 && !sequences.empty())
      shard.sequences = sequences;
    else if (shards.size() > 1)
      shard.sequences.assign(1, shard.tokens);
  }
}

}  // namespace examples::dumps
