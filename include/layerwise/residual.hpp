// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/detail/row_reader.hpp>
#include <layerwise/detail/rows.hpp>
#include <layerwise/embedding.hpp>
#include <layerwise/error.hpp>

#include <Eigen/Core>

#include <cmath>
#include <cstddef>
#include <vector>

/// @file
/// What a layer adds to the residual stream, and how much.
namespace layerwise::inline LAYERWISE_ABI {
namespace detail {

/// ||y - x||^2 and ||y||^2 of a token's rows x before and y after a layer. They add up over tokens without
/// overflow.
struct row_contribution {
  scaled_sum update, output;

  void add(const row_contribution& other) {
    update.add(other.update);
    output.add(other.output);
  }

  /// ||y - x|| / ||y||. Throws degenerate_input_error, at the place given, if ||y|| is 0.
  double ratio(const place& at) const {
    if (output.mantissa == 0)
      fail<degenerate_input_error>("a layer output other than zero, to divide by", "zeros only", at);
    return root_of_ratio(update, output);
  }
};

/// With `sums` what sum_row told about y after x. Throws non_finite_error with the column, at the place
/// given. Rows of zeros are for the caller to judge.
inline row_contribution measure_contribution(const double* x, const double* y, const row_sums& sums, index d,
                                             const place& x_at, const place& y_at) {
  return {squared_distance(x, y, sums, d, x_at, y_at), squared_norm(y, sums.squares, d, y_at)};
}

/// The ratio, unless it is beyond the range of double: non_finite_error, at the place given.
inline double finite_ratio(const row_contribution& of, const place& at) {
  const double ratio = of.ratio(at);
  if (!std::isfinite(ratio))
    fail<non_finite_error>("a ratio of norms within the range of double", text(ratio), at);
  return ratio;
}

template <embedding_matrix X, embedding_matrix Y>
std::vector<row_contribution> contributions(const X& before, const Y& after) {
  const row_reader<X> from(before);
  std::vector<row_contribution> tokens(static_cast<std::size_t>(from.rows()));
  for_each_row_pair(from, row_reader<Y>(after), [&](const row_pair& p) {
    tokens[static_cast<std::size_t>(p.token)] =
        measure_contribution(p.before, p.after, p.sums, p.d, {.operand = "before", .row = p.token},
                             {.operand = "after", .row = p.token});
  });
  return tokens;
}

}  // namespace detail

/// The residual update D = after - before, what a layer adds to the residual stream (arXiv 2405.12250).
///
/// before, after: n_tokens x d, of any two scalar types and layouts. Returns an n_tokens x d row-major matrix
/// of doubles, with nothing rounded but the difference itself. Throws shape_error for different shapes,
/// degenerate_input_error for an empty matrix, non_finite_error for NaN or infinity and for a difference
/// beyond the range of double. Costs one pass.
template <embedding_matrix X, embedding_matrix Y>
auto residual_update(const X& before, const Y& after) {
  const detail::row_reader<X> from(before);
  detail::row_block update(from.rows(), from.cols());
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
    result[token] =
        detail::finite_ratio(tokens[static_cast<std::size_t>(token)], {.operand = "after", .row = token});
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
