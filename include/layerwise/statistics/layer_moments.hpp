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
/// Sums over the tokens of one layer.
namespace layerwise::inline LAYERWISE_ABI {

/// Sufficient statistics of the columns of one layer X: sums and sums of products, taken in float64 about a provisional
/// shift whatever the data's precision. Batches are added as they come and accumulators of other threads, files or
/// machines are merged: the data is never needed again, and memory is O(d^2), independent of the tokens. To the last
/// bit, the result does not depend on how rows were batched, nor on the number of threads.
class layer_moments {
 public:
  layer_moments() = default;

  /// Adds the rows of x (n_tokens x d), those the mask keeps. The first call sets d. Throws shape_error if d changed or
  /// the mask has another length, degenerate_input_error for an empty matrix, non_finite_error for NaN or infinity in a
  /// row that takes part. Nothing is added then. Cost: n d^2 flops.
  template <embedding_matrix X>
  void add(const X& x, const token_mask& mask = {}) {
    const detail::row_reader rows(x);
    detail::require_not_empty(rows, {.operand = "X"});
    if (dimensions() > 0) detail::require_columns(dimensions(), rows.cols(), {.operand = "X"});
    const std::vector<index> tokens = mask.rows(rows.rows());
    sums_.add(detail::layer_source(rows, tokens), {rows.cols()}, detail::zero_rows::allowed,
              [](const std::vector<index>& d) { return detail::moment_chain(d, {}, second_moments::both); });
  }

  /// Adds everything another accumulator has seen; O(d^2). Throws shape_error if d differs; nothing is changed then.
  void merge(const layer_moments& other) {
    if (dimensions() > 0 && other.dimensions() > 0)
      detail::require_columns(dimensions(), other.dimensions(), {.operand = "X"});
    sums_.merge(other.sums_);
  }

  /// The number of tokens added.
  index tokens() const { return sums_.chain().tokens(); }
  /// d; 0 before the first call of add.
  index dimensions() const { return sums_.empty() ? 0 : sums_.chain().dimensions(0); }

  /// The moments, xx alone, about the means or about 0. Throws degenerate_input_error for no tokens. O(d^2).
  layerwise::scatter scatter(layerwise::centering center = layerwise::centering::columns) const {
    detail::require_tokens(tokens(), {.operand = "X"});
    return detail::scatter_of_layer(sums_.chain().layer(0).finished(), center);
  }

 private:
  friend struct detail::chain_access;

  detail::accumulator sums_;
};

}  // namespace layerwise::inline LAYERWISE_ABI
