// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/embedding.hpp>
#include <layerwise/metrics/detail/row_contribution.hpp>

#include <Eigen/Core>

/// @file
/// How much a layer adds to the residual stream.
namespace layerwise::inline LAYERWISE_ABI {

/// ||h_l - h_{l-1}|| / ||h_l|| for each token: how much of a layer's output the layer itself contributed, the
/// block-norm ratio in figure 3 of arXiv 2405.12250. A layer's contribution is the mean over tokens.
///
/// before, after: n_tokens x d, of any two scalar types and layouts. Returns n_tokens values >= 0: 0 for a
/// layer that changes nothing, 1 for an update orthogonal to what it cancels or a `before` of zeros; there is
/// no upper bound. Throws shape_error for different shapes, degenerate_input_error for an empty matrix or a
/// row of zeros in `after`, non_finite_error for NaN or infinity and for a ratio beyond the range of double.
/// Reads each element once; rows of any finite size are safe.
template <embedding_matrix X, embedding_matrix Y>
Eigen::VectorXd contribution_ratio(const X& before, const Y& after) {
  const auto tokens = detail::contributions(before, after);
  Eigen::VectorXd result(static_cast<index>(tokens.size()));
  for (index token = 0; token < result.size(); ++token)
    result[token] = detail::finite_ratio(detail::at(tokens, token), {.operand = "after", .row = token});
  return result;
}

/// ||h_l - h_{l-1}||_F / ||h_l||_F: the same ratio of the whole matrices, in which long rows weigh more.
///
/// before, after: n_tokens x d. Returns a value >= 0. Rows of zeros are fine, as long as `after` is not zero
/// throughout (degenerate_input_error). Otherwise throws and costs as contribution_ratio().
template <embedding_matrix X, embedding_matrix Y>
double contribution_ratio_frobenius(const X& before, const Y& after) {
  detail::row_contribution total;
  for (const auto& token : detail::contributions(before, after)) total.add(token);
  return detail::finite_ratio(total, {.operand = "after"});
}

}  // namespace layerwise::inline LAYERWISE_ABI
