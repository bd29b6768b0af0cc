// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/detail/accumulator.hpp>
#include <layerwise/statistics/detail/moments_of.hpp>
#include <layerwise/statistics/scatter.hpp>
#include <layerwise/statistics/second_moments.hpp>

#include <vector>

/// @file
/// Sums over the tokens of a pair of layers.
namespace layerwise::inline LAYERWISE_ABI {

/// Sufficient statistics of a pair (X, Y) for every metric of second moments, taken in float64 about a provisional shift
/// whatever the data's precision. Batches are added as they come and accumulators of other threads, files or machines
/// are merged: the data is never needed again, and memory is O(d^2), independent of the tokens.
///
/// The result does not depend, to the last bit, on how rows were split into calls of add(), nor on the number
/// of threads; the order of merges changes it within the scores' error bound.
class cross_moments {
 public:
  /// Keeps what linearity, residual_linearity and fit_linear_map need, or with second_moments::both what CKA and the
  /// like need, too.
  explicit cross_moments(second_moments kept = second_moments::input) : kept_(kept) {}

  /// Adds the rows of x (n_tokens x d_x) and y (n_tokens x d_y), those the mask keeps. The first call sets
  /// d_x and d_y.
  ///
  /// Throws shape_error if the numbers of rows differ, if the mask has another length or if d_x, d_y changed;
  /// degenerate_input_error for empty matrices; non_finite_error for NaN or infinity in a row that takes
  /// part. Nothing is added then. Cost: 3 n d^2 flops for d_x = d_y, 4 n d^2 with both.
  template <embedding_matrix X, embedding_matrix Y>
  void add(const X& x, const Y& y, const token_mask& mask = {}) {
    const detail::row_reader x_rows(x);
    const detail::row_reader y_rows(y);
    detail::require_pair(x_rows, y_rows, detail::pair_names);
    if (!sums_.empty()) require_columns(x_rows.cols(), y_rows.cols());
    const std::vector<index> tokens = mask.rows(x_rows.rows());
    sums_.add(detail::pair_source(x_rows, y_rows, tokens, detail::pair_names), {x_rows.cols(), y_rows.cols()},
              detail::zero_rows::allowed,
              [this](const std::vector<index>& d) { return detail::moment_chain(d, {{0, 1}}, kept_); });
  }

  /// Adds everything another accumulator has seen. Throws shape_error if d_x or d_y differ, option_error if only one of
  /// the two keeps both second moments. Nothing is changed then. O(d^2).
  void merge(const cross_moments& other) {
    detail::require_same_sums(kept_, other.kept_, {.operand = "cross_moments"});
    if (!sums_.empty() && !other.sums_.empty()) require_columns(other.x_dimensions(), other.y_dimensions());
    sums_.merge(other.sums_);
  }

  /// The number of tokens added.
  index tokens() const { return sums_.chain().tokens(); }
  /// d_x; 0 before the first call of add.
  index x_dimensions() const { return sums_.empty() ? 0 : sums_.chain().dimensions(0); }
  /// d_y; 0 before the first call of add.
  index y_dimensions() const { return sums_.empty() ? 0 : sums_.chain().dimensions(1); }
  /// What was asked for.
  second_moments kept() const { return kept_; }

  /// The moments, about the means or about 0; yy is empty unless both second moments are kept. Throws
  /// degenerate_input_error for no tokens. O(d^2).
  layerwise::scatter scatter(layerwise::centering center = layerwise::centering::columns) const {
    detail::require_tokens(tokens(), {.operand = "X"});
    return detail::scatter_of_pair(sums_.chain().pair({0, 1}, kept_).finished(), center);
  }

 private:
  friend struct detail::chain_access;

  void require_columns(index d_x, index d_y) const {
    detail::require_columns(x_dimensions(), d_x, {.operand = "X"});
    detail::require_columns(y_dimensions(), d_y, {.operand = "Y"});
  }

  second_moments kept_;
  detail::accumulator sums_;
};

}  // namespace layerwise::inline LAYERWISE_ABI
