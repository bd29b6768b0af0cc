#include "dumps/token_choice.hpp"

#include "common/input_error.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace examples::dumps {
namespace {

void choose(std::vector<bool>& keep, index first, index count, const token_choice& choice) {
  const auto at = [&](index i) { return keep[static_cast<std::size_t>(first + i)]; };
  index real = 0, last = -1;
  for (index i = 0; i < count; ++i) {
    if (!at(i)) continue;
    last = i;
    if (real++ < choice.skip_first) at(i) = false;
  }
  if (choice.last_only)
    for (index i = 0; i < last; ++i) at(i) = false;
}

}  // namespace

std::vector<index> sequences_of(const token_shard& shard, std::optional<index> asked, std::optional<index> stated) {
  if (asked == 0) return {shard.tokens};
  if (!asked && !shard.sequences.empty()) return shard.sequences;
  const auto length = asked ? asked : stated;
  if (!length) return {};
  std::vector<index> lengths;
  for (index left = shard.tokens; left > 0; left -= lengths.back()) lengths.push_back(std::min(*length, left));
  return lengths;
}

void choose_tokens(layer_stack& stack, const token_choice& choice) {
  index left = 0;
  for (auto& shard : stack.shards) {
    if (choice.skip_first > 0 || choice.last_only) {
      const auto sequences = sequences_of(shard, choice.sequence_length, stack.sequence_length);
      if (sequences.empty())
        reject(shard.path,
               "--skip-first and --last-only need --sequence-length N, or 0 if each file is one sequence: "
               "the file does not tell");
      if (shard.keep.empty()) shard.keep.assign(static_cast<std::size_t>(shard.tokens), true);
      index first = 0;
      for (const auto length : sequences) choose(shard.keep, std::exchange(first, first + length), length, choice);
    }
    left += kept_tokens(shard);
  }
  if (left == 0)
    reject(stack.shards.front().path, "expected tokens to profile, got none of {}: {} leaves out all", stack.tokens,
           choice.skip_first > 0 ? "--skip-first" : "the mask " + stack.reading.mask);
}

std::optional<layerwise::token_mask> mask_of(const token_shard& shard, index first, index count) {
  if (shard.keep.empty()) return layerwise::token_mask();
  std::vector<bool> keep(shard.keep.begin() + first, shard.keep.begin() + first + count);
  if (std::ranges::none_of(keep, [](bool kept) { return kept; })) return std::nullopt;
  return layerwise::token_mask(std::move(keep));
}

layerwise::token_mask mask_of(const layer_stack& stack) {
  if (std::ranges::all_of(stack.shards, [](const auto& shard) { return shard.keep.empty(); })) return {};
  std::vector<bool> keep;
  for (const auto& shard : stack.shards) {
    if (shard.keep.empty()) keep.insert(keep.end(), static_cast<std::size_t>(shard.tokens), true);
    keep.insert(keep.end(), shard.keep.begin(), shard.keep.end());
  }
  return layerwise::token_mask(std::move(keep));
}

index kept_tokens(const token_shard& shard) {
  return shard.keep.empty() ? shard.tokens : std::ranges::count(shard.keep, true);
}

}  // namespace examples::dumps
