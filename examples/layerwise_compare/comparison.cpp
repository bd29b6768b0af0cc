#include "comparison.hpp"

#include "common/input_error.hpp"
#include "dumps/input.hpp"
#include "dumps/token_choice.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace examples::layerwise_compare {
namespace {

compared_dump describe_one(const layer_stack& stack) {
  compared_dump result{dumps::title_of(stack), {},           std::string(name_of(stack.dtype)), stack.dimensions,
                       stack.numbers,          stack.reading};
  for (const auto& file : stack.files) result.files.push_back(file.path);
  return result;
}

/// The layer of b at the depth of layer i of a: i (b - 1) / (a - 1), rounded, halves up.
index same_depth(index i, index a, index b) { return a == 1 ? 0 : (2 * i * (b - 1) + (a - 1)) / (2 * (a - 1)); }

/// The token ids beside the states, of all files.
struct token_ids {
  std::optional<dumps::data_type> dtype;
  std::vector<std::byte> bytes;
};

token_ids token_ids_of(const layer_stack& stack) {
  token_ids ids;
  for (const auto& file : stack.files)
    for (const auto& item : file.tensors)
      if (item.name == "token_ids" || item.name == "input_ids") {
        ids.dtype = item.dtype;
        ids.bytes.insert(ids.bytes.end(), item.bytes.begin(), item.bytes.end());
      }
  return ids;
}

}  // namespace

void require_same_tokens(const layer_stack& a, const layer_stack& b) {
  const auto& path_a = a.files.front().path;
  const auto& path_b = b.files.front().path;
  if (a.tokens != b.tokens) reject(path_b, "expected {} tokens, those of {}, got {}", a.tokens, path_a, b.tokens);
  const auto mask_a = mask_of(a), mask_b = mask_of(b);
  for (index token = 0; token < a.tokens; ++token)
    if (mask_a.keeps(token) != mask_b.keeps(token))
      reject(path_b,
             "expected the mask of {}: token {} takes part in {} only ({} and {} tokens do); --mask FILE says one for "
             "both",
             path_a, token, mask_a.keeps(token) ? "the first" : "the second", mask_a.rows(a.tokens).size(),
             mask_b.rows(b.tokens).size());
}

index pair_count(const layer_stack& a, const layer_stack& b, pairing kind) {
  return kind == pairing::same ? a.states : a.states * b.states;
}

std::optional<index> first_other_token(const layer_stack& a, const layer_stack& b) {
  const auto of_a = token_ids_of(a), of_b = token_ids_of(b);
  if (!of_a.dtype || of_a.dtype != of_b.dtype || of_a.bytes.size() != of_b.bytes.size()) return std::nullopt;
  const auto [other, in_b] = std::ranges::mismatch(of_a.bytes, of_b.bytes);
  if (other == of_a.bytes.end()) return std::nullopt;
  return (other - of_a.bytes.begin()) / static_cast<index>(size_of(*of_a.dtype));
}

comparison describe(const layer_stack& a, const layer_stack& b, index tokens, pairing kind,
                    std::vector<const metrics::metric*> chosen) {
  std::vector<layerwise::layer_pair> pairs;
  const auto count = static_cast<std::size_t>(pair_count(a, b, kind));
  pairs.reserve(count);
  for (index i = 0; i < a.states; ++i) {
    if (kind == pairing::same) pairs.push_back({i, same_depth(i, a.states, b.states)});
    for (index j = 0; kind == pairing::all && j < b.states; ++j) pairs.push_back({i, j});
  }
  return {describe_one(a),  describe_one(b),
          tokens,           kind,
          std::move(pairs), metrics::metric_values(std::move(chosen), count)};
}

}  // namespace examples::layerwise_compare
