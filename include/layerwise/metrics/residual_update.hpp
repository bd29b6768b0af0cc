// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/detail/row_pairs.hpp>
#include <layerwise/data/embedding.hpp>

#include <cmath>

/// @file
/// What a layer adds to the residual stream.
namespace layerwise::inline LAYERWISE_ABI {

/// The residual update D = after - before, what a layer adds to the residual stream (arXiv 2405.12250).
///
/// before, after: n_tokens x d, of any two scalar types and layouts. Returns an n_tokens x d row-major matrix
/// of doubles, with nothing rounded but the difference itself. Throws shape_error for different shapes,
/// degenerate_input_error for an empty matrix, non_finite_error for NaN or infinity and for a difference
/// beyond the range of double. Costs one pass.
template <embedding_matrix X, embedding_matrix Y>
row_matrix residual_update(const X& before, const Y& after) {
  const detail::row_reader<X> from(before);
  row_matrix update(from.rows(), from.cols());
  detail::for_each_row_pair(from, detail::row_reader<Y>(after), [&](const detail::row_pair& p) {
    double* difference = &update(p.token, 0);
    for (index j = 0; j < p.d; ++j) difference[j] = p.after[j] - p.before[j];
    if (!std::isfinite(p.sums.step)) {
      detail::fail_non_finite(p.before, p.d, {.operand = "before", .row = p.token});
      detail::fail_non_finite(p.after, p.d, {.operand = "after", .row = p.token});
      detail::fail_non_finite(difference, p.d, {.operand = "after - before", .row = p.token});
    }
  });
  return update;
}

}  // namespace layerwise::inline LAYERWISE_ABI
