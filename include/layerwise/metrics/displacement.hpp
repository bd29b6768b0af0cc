// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/embedding.hpp>
#include <layerwise/metrics/detail/row_angle.hpp>

#include <Eigen/Core>

/// @file
/// How far a layer turns each token's vector: (1 - cos)/2.
namespace layerwise::inline LAYERWISE_ABI {

/// Psi_t = 1 - (1 + c_t)/2 = (1 - c_t)/2 = sin^2(theta_t / 2) for each token t: the displacement of arXiv
/// 2601.18302. A layer's displacement is the mean over tokens.
///
/// before, after: n_tokens x d. Returns n_tokens values in [0, 1]: 0 for equal directions, 1/2 for
/// orthogonal, 1 for opposite. Computed as ||u^ - v^||^2 / 4 on unit vectors in double. Throws and costs as
/// cosine_similarity().
template <embedding_matrix X, embedding_matrix Y>
Eigen::VectorXd displacement(const X& before, const Y& after) {
  return detail::angles_per_token<&detail::row_angle::displacement>(before, after);
}

}  // namespace layerwise::inline LAYERWISE_ABI
