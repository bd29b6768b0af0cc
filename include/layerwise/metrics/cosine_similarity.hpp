// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/embedding.hpp>
#include <layerwise/metrics/detail/row_angle.hpp>

#include <Eigen/Core>

/// @file
/// The cosine between each token's vectors before and after a layer.
namespace layerwise::inline LAYERWISE_ABI {

/// c_t = u.v / (||u|| ||v||) for each token t, with u and v its rows in `before` and `after`.
///
/// before, after: n_tokens x d, of any two scalar types and layouts. Returns n_tokens values in [-1, 1],
/// exactly 1 for equal rows. 1 - c loses its digits when the rows are nearly parallel: use displacement() or
/// angular_distance() for that. Throws shape_error for different shapes, degenerate_input_error for an empty
/// matrix or a row of zeros, non_finite_error for NaN or infinity. Reads each element once; rows of any
/// finite size are safe.
template <embedding_matrix X, embedding_matrix Y>
Eigen::VectorXd cosine_similarity(const X& before, const Y& after) {
  return detail::angles_per_token<&detail::row_angle::cosine>(before, after);
}

}  // namespace layerwise::inline LAYERWISE_ABI
