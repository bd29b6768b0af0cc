// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/statistics/cross_moments.hpp>
#include <layerwise/statistics/detail/accumulator.hpp>
#include <layerwise/statistics/layer_moments.hpp>
#include <layerwise/statistics/layer_pairs.hpp>
#include <layerwise/statistics/second_moments.hpp>

#include <utility>
#include <vector>

/// @file
/// Sums over the tokens of a stack of layers.
namespace layerwise::inline LAYERWISE_ABI {

/// Moments of all layers h_0 ... h_L, and of pairs of them, in one pass over hidden states that come in batches: as
/// layer_moments and cross_moments, which it gives for each layer and pair, but what pairs share is summed once.
///
///     stack_moments moments(layer_pairs::to_last());
///     while (engine.next_batch()) moments.add(engine.hidden_states());
///     linear_cka(moments.pair(3, 12));
///     linearity(moments.pair(3, 12));  // how linearly the last layer, h_12, can be read from h_3
///
/// Memory: d^2 doubles a pair, and d^2 a layer.
class stack_moments {
 public:
  /// second_moments::input leaves out x^T x of layers that are no pair's first.
  explicit stack_moments(layer_pairs pairs = layer_pairs::neighbours(), second_moments kept = second_moments::both)
      : pairs_(std::move(pairs)), kept_(kept) {}

  /// Adds a batch: h_0 ... h_L of n_tokens x d each, the rows that the mask keeps. The first batch sets L and d.
  ///
  /// Throws shape_error for fewer than 2 layers, layers of unequal shapes, a mask of another length, or if L or d
  /// changed; option_error for pairs of layers that there are not; degenerate_input_error for empty matrices;
  /// non_finite_error. The message names layer, row and column, and nothing of the batch is added then. Cost: n d^2
  /// flops a layer and 2 n d^2 a pair, and to read x once more for a pair that is not of neighbours.
  template <hidden_states H>
  void add(const H& batch, const token_mask& mask = {}) {
    const auto layers = detail::open_layers(batch);
    const std::vector<index> tokens = mask.rows(layers.front().rows());
    add_rows(detail::stack_source(layers, tokens), static_cast<index>(layers.size()), layers.front().cols(),
             detail::zero_rows::allowed);
  }

  /// Adds everything another accumulator has seen. Throws shape_error if L or d differ, option_error if it keeps other
  /// pairs (another list of the same ones, too) or other second moments. Nothing is changed then. O(d^2) a pair.
  void merge(const stack_moments& other) { merge(other, {}); }

  /// The number of tokens added.
  index tokens() const { return sums_.chain().tokens(); }
  /// L + 1; 0 before the first call of add.
  index layers() const { return sums_.chain().layers(); }
  /// d; 0 before the first call of add.
  index dimensions() const { return sums_.empty() ? 0 : sums_.chain().dimensions(0); }
  /// Those that are kept.
  const layer_pairs& pairs() const { return pairs_; }
  /// Of which layers x^T x is.
  second_moments kept() const { return kept_; }

  /// The moments of h_l, l = 0..L. A copy, O(d^2). Throws shape_error for another l, option_error where its second
  /// moments are not kept, degenerate_input_error for no tokens.
  layer_moments layer(index l) const {
    require_layer(l);
    if (!sums_.chain().keeps_second(l))
      detail::fail<option_error>("a layer whose second moments are kept (see second_moments::both)",
                                 detail::text("layer ", l), here);
    return detail::chain_access::filled(layer_moments(), sums_.chain().layer(l));
  }

  /// The moments of the pair (h_from, h_to). A copy, O(d^2). Throws shape_error for layers that there are not,
  /// option_error for a pair that is not kept, degenerate_input_error for no tokens.
  cross_moments pair(index from, index to) const {
    require_layer(from);
    require_layer(to);
    if (!sums_.chain().has_pair({from, to}))
      detail::fail<option_error>("a pair of layers that is kept (see layer_pairs)", detail::text(from, " and ", to),
                                 here);
    return detail::chain_access::filled(cross_moments(kept_), sums_.chain().pair({from, to}, kept_));
  }
  /// The moments of layer l, (h_{l-1}, h_l), l = 1..L.
  cross_moments pair(index l) const {
    require_layer(l, 1);
    return pair(l - 1, l);
  }

 private:
  friend struct detail::chain_access;
  static constexpr place here{.operand = "stack_moments"};

  void require_layer(index l, index first = 0) const {
    detail::require_tokens(tokens(), here);
    if (l < first || l >= layers())
      detail::fail<shape_error>(detail::text("a layer in ", first, "..", layers() - 1), detail::text(l), here);
  }

  void require_same(index layers, index dimensions) const {
    const auto stack = [](index l, index d) { return detail::text(l, " layers of ", d, " columns"); };
    if (layers != this->layers() || dimensions != this->dimensions())
      detail::fail<shape_error>(detail::text(stack(this->layers(), this->dimensions()), ", as before"),
                                stack(layers, dimensions), {.operand = "hidden_states"});
  }

  void add_rows(const detail::row_source& rows, index layers, index d, detail::zero_rows zeros,
                const detail::neighbour_observer& observe = {}) {
    if (!sums_.empty()) require_same(layers, d);
    sums_.add(
        rows, std::vector<index>(static_cast<std::size_t>(layers), d), zeros,
        [&](const std::vector<index>& dimensions) {
          return detail::moment_chain(dimensions, pairs_.of(layers), kept_);
        },
        observe);
  }

  void merge(const stack_moments& other, const detail::neighbour_observer& observe) {
    detail::require_same_sums(kept_, other.kept_, here);
    if (other.pairs_ != pairs_) detail::fail<option_error>("the same pairs of layers", "others", here);
    if (!sums_.empty() && !other.sums_.empty()) require_same(other.layers(), other.dimensions());
    sums_.merge(other.sums_, observe);
  }

  layer_pairs pairs_;
  second_moments kept_;
  detail::accumulator sums_;
};

}  // namespace layerwise::inline LAYERWISE_ABI
