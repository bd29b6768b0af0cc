// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/embedding.hpp>
#include <layerwise/metrics/detail/row_angle.hpp>

#include <Eigen/Core>

/// @file
/// The angle between each token's vectors before and after a layer, over pi.
namespace layerwise::inline LAYERWISE_ABI {

/// theta_t / pi = arccos(c_t) / pi for each token t: the angular distance of arXiv 2403.17887, between any
/// two layers l and l + k (which uses the final token of each sequence: pick it with
/// token_mask::last_of_each).
///
/// before, after: n_tokens x d. Returns n_tokens values in [0, 1]: 0 for equal directions, 1/2 for
/// orthogonal, 1 for opposite. Computed as 2 atan2(||u^ - v^||, ||u^ + v^||) on unit vectors in double, so
/// accurate near 0 and 1 where arccos is not. Throws and costs as cosine_similarity().
template <embedding_matrix X, embedding_matrix Y>
Eigen::VectorXd angular_distance(const X& before, const Y& after) {
  return detail::angles_per_token<&detail::row_angle::angular_distance>(before, after);
}

}  // namespace layerwise::inline LAYERWISE_ABI
