// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

/// @file
/// Which pairs of layers sums are taken of.
namespace layerwise::inline LAYERWISE_ABI {

/// Two layers h_from and h_to of a stack h_0 ... h_L: x and y of what is measured of a pair.
struct layer_pair {
  index from = 0;  ///< of h_from, 0..L
  index to = 0;    ///< of h_to, 0..L, another one
  bool operator==(const layer_pair&) const = default;
};

namespace detail {

/// The order in which a walk through the layers meets the pairs: by the later layer, the earlier one, then the x of
/// the two.
inline bool is_before(const layer_pair& a, const layer_pair& b) {
  const index later_a = (std::max)(a.from, a.to), later_b = (std::max)(b.from, b.to);
  if (later_a != later_b) return later_a < later_b;
  const index earlier_a = (std::min)(a.from, a.to), earlier_b = (std::min)(b.from, b.to);
  return earlier_a != earlier_b ? earlier_a < earlier_b : a.from < b.from;
}

/// Where in the list the pairs are, in that order; equal ones as they are listed. O(p log p) of p pairs.
inline std::vector<std::size_t> places_in_order(const std::vector<layer_pair>& pairs) {
  std::vector<std::size_t> places(pairs.size());
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = i;
  std::sort(places.begin(), places.end(),
            [&](std::size_t i, std::size_t j) { return pairs[i] == pairs[j] ? i < j : is_before(pairs[i], pairs[j]); });
  return places;
}

}  // namespace detail

/// The pairs of layers that a stack_moments keeps cross moments of: d^2 doubles, and 2 n d^2 flops, each. What depends
/// on the number of layers is resolved when that is known.
class layer_pairs {
 public:
  /// (l - 1, l) for l = 1..L: what each layer does.
  static layer_pairs neighbours() { return apart(1); }
  /// (l, l + k) for all l: k layers at once, as they are left out in arXiv 2403.17887. Throws option_error for k < 1.
  static layer_pairs apart(index k) {
    if (k < 1) detail::fail<option_error>("layers at least 1 apart", detail::text(k), here);
    return layer_pairs(rule::apart, k, {});
  }
  /// (l, L) for l = 0..L - 1: how far each layer is from the last one.
  static layer_pairs to_last() { return layer_pairs(rule::to_last, 1, {}); }
  /// (i, j) for all i < j: (L + 1) L / 2 of them.
  static layer_pairs all() { return layer_pairs(rule::all, 1, {}); }
  /// None: of layers, not of pairs.
  static layer_pairs none() { return layer_pairs(std::vector<layer_pair>()); }

  /// Neighbours.
  layer_pairs() : layer_pairs(neighbours()) {}
  /// These, in any order.
  explicit layer_pairs(std::vector<layer_pair> pairs) : layer_pairs(rule::listed, 1, std::move(pairs)) {}

  /// Those of a stack of `layers` layers, L + 1. Throws option_error for a pair of layers that do not exist, of a layer
  /// with itself, or that is listed twice; and where no two layers are k apart. O(p log p) of p pairs.
  std::vector<layer_pair> of(index layers) const {
    const index last = layers - 1;
    std::vector<layer_pair> pairs = listed_;
    const index nearest = rule_ == rule::apart ? distance_ : 1;
    const index farthest = rule_ == rule::apart ? distance_ : last;
    for (index to = rule_ == rule::to_last ? last : 1; rule_ != rule::listed && to <= last; ++to)
      for (index from = (std::max)(index{0}, to - farthest); from <= to - nearest; ++from) pairs.push_back({from, to});
    if (pairs.empty() && rule_ != rule::listed)
      detail::fail<option_error>(detail::text("layers less than ", layers, " apart"), detail::text(distance_), here);
    const std::size_t again = first_repeated(pairs);
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const auto [from, to] = pairs[i];
      if ((std::min)(from, to) < 0 || (std::max)(from, to) > last || from == to)
        detail::fail<option_error>(detail::text("two different layers in 0..", last), detail::text(from, " and ", to),
                                   here);
      if (i == again) detail::fail<option_error>("each pair once", detail::text(from, " and ", to, " again"), here);
    }
    return pairs;
  }

  bool operator==(const layer_pairs&) const = default;

 private:
  enum class rule { listed, apart, to_last, all };
  static constexpr place here{.operand = "layer_pairs"};

  layer_pairs(rule which, index distance, std::vector<layer_pair> listed)
      : rule_(which), distance_(distance), listed_(std::move(listed)) {}

  /// Where the first one is that is in the list before; their number if there is none.
  static std::size_t first_repeated(const std::vector<layer_pair>& pairs) {
    const std::vector<std::size_t> places = detail::places_in_order(pairs);
    std::size_t first = pairs.size();
    for (std::size_t k = 1; k < places.size(); ++k)
      if (pairs[places[k - 1]] == pairs[places[k]]) first = (std::min)(first, places[k]);
    return first;
  }

  rule rule_;
  index distance_;
  std::vector<layer_pair> listed_;
};

}  // namespace layerwise::inline LAYERWISE_ABI
