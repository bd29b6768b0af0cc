// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/svd.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/metrics/canonical_correlations.hpp>
#include <layerwise/metrics/detail/independent_columns.hpp>
#include <layerwise/metrics/detail/pair_scatter.hpp>
#include <layerwise/statistics/cross_moments.hpp>
#include <layerwise/statistics/scatter.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <numbers>

/// @file
/// Projection-weighted canonical correlation of two layers.
namespace layerwise::inline LAYERWISE_ABI {

/// A projection-weighted mean of canonical correlations, and what one must know to read it.
struct pwcca_result {
  double score = 0.0;  ///< in [0, 1]
  /// |score - exact score of the given data| is at most this. Exact is meant for the columns that were kept, as many as
  /// the ranks say. Large where correlations lie so close together that their directions, and with them the weights, are
  /// uncertain.
  double error_bound = 0.0;
  index x_rank = 0;              ///< of the certain columns of X
  index y_rank = 0;              ///< of those of Y
  index tokens = 0;              ///< that took part
  index x_dimensions = 0;        ///< d_x
  index y_dimensions = 0;        ///< d_y
  bool underdetermined = false;  ///< as in cca_result
};

/// The fields of a PWCCA.
template <>
inline constexpr auto fields<pwcca_result> = field_list(
    field{"score", &pwcca_result::score, "projection-weighted canonical correlation"},
    field{"error_bound", &pwcca_result::error_bound, "how far rounding can have moved the score"},
    field{"x_rank", &pwcca_result::x_rank, "of the certain columns of X"},
    field{"y_rank", &pwcca_result::y_rank, "of the certain columns of Y"},
    field{"tokens", &pwcca_result::tokens, "that took part"},
    field{"x_dimensions", &pwcca_result::x_dimensions, "columns of X"},
    field{"y_dimensions", &pwcca_result::y_dimensions, "columns of Y"},
    field{"underdetermined", &pwcca_result::underdetermined, "any data at all would have correlations of 1"});

namespace detail {

/// w_i = sum_j |<h_i, x_j>|, over all columns of X; of the left singular vectors u_i of T, <h_i, x_j> is
/// norm_j (factor u_i)_j.
inline Eigen::VectorXd projection_weights(const independent_columns& x, const matrix& u) {
  Eigen::VectorXd weights(u.cols()), along(x.order.size());
  for (index i = 0; i < u.cols(); ++i) {
    along.setZero();
    for (index k = 0; k < x.rank(); ++k) add_multiple(u(k, i), column(x.factor, k), along.data(), along.size());
    weights[i] = weighted_sum(x.norm, along.data());
  }
  return weights;
}

/// How far the weights can be off, where T is off by `error` in the 2-norm. A singular vector turns by
/// sqrt 2 sin theta, sin theta <= error / (gap - error) (Wedin), gap the distance to the next singular value, 0 of the
/// vectors that complete a T of more rows than columns among them. ||<h_i, x_j>|| <= norm_j, and the exact
/// L^-1 G'_j is M L^T_j of a kept column, and off by gamma' ||p|| p_j / sqrt(lambda) of another.
inline Eigen::VectorXd weight_errors(const independent_columns& x, const singular_values& svd, double error) {
  const index count = svd.values.size();
  double norms = 0.0, others = 0.0;
  for (index j = 0; j < x.norm.size(); ++j) {
    norms += x.norm[j];
    if (j >= x.rank()) others += x.norm[j] * x.gamma * x.p_norm() * x.p[j] / std::sqrt(x.smallest);
  }
  const bool is_tall = x.rank() > count;
  Eigen::VectorXd errors(count);
  for (index i = 0; i < count; ++i) {
    double gap = is_tall ? svd.values[i] : HUGE_VAL;
    if (i > 0) gap = (std::min)(gap, svd.values[i - 1] - svd.values[i]);
    if (i + 1 < count) gap = (std::min)(gap, svd.values[i] - svd.values[i + 1]);
    const double sine = gap > 2.0 * error ? error / (gap - error) : 1.0;
    const double rounding = 8.0 * elimination_chain(x.rank() + x.norm.size()) * unit_roundoff;
    errors[i] = (std::min)(norms, norms * (2.0 * std::numbers::sqrt2 * sine + x.eta + rounding) + others);
    if (sine == 1.0) errors[i] = norms;
  }
  return errors;
}

/// |sum w' rho' / sum w' - score| <= error of rho + sum dw |rho - score| / (sum w - sum dw)
inline double pwcca_error(const Eigen::VectorXd& rho, const Eigen::VectorXd& weights, const Eigen::VectorXd& off,
                          double score, double of_values) {
  double moved = 0.0, left = 0.0, widest = 0.0;
  for (index i = 0; i < rho.size(); ++i) {
    const double distance = std::abs(rho[i] - score);
    moved += off[i] * distance, left += weights[i] - off[i], widest = (std::max)(widest, distance);
  }
  const double by_weights = left > 0.0 ? (std::min)(widest, moved / left) : widest;
  return (std::min)(1.0, of_values + by_weights + 8.0 * static_cast<double>(rho.size()) * unit_roundoff);
}

}  // namespace detail

/// Projection-weighted CCA of second moments about the means (Morcos et al. 2018, arXiv 1806.05759):
///
///     sum_i w_i rho_i / sum_i w_i,  w_i = sum_j |<h_i, x_j>|
///
/// with rho_i the canonical correlations (see cca()), h_i the canonical variates of X, of norm 1 over the tokens, and
/// x_j the centred columns of X: correlations of directions that X has much of count more. The weights are those of X:
/// pwcca(Y, X) is another number.
///
/// In [0, 1], between the smallest and the largest correlation. Throws as cca(). Costs about 13 d^3 flops, most of them
/// on one thread.
template <std::same_as<scatter> Scatter>
pwcca_result projection_weighted_cca(const Scatter& s) {
  const detail::whitened_layers white(s, "pwcca");
  const detail::matrix& t = white.pair.t;
  const auto svd = detail::decompose<detail::singular_vectors::left>(t);
  const double error = white.pair.value_error(detail::rounding_of_svd(t.rows(), t.cols(), t.norm()));
  const cca_result cca = detail::correlations_of(s, svd.values, error, t.rows(), t.cols());
  const Eigen::VectorXd weights = detail::projection_weights(white.x, svd.u);
  double sum = 0.0, weighted = 0.0;
  for (index i = 0; i < weights.size(); ++i) sum += weights[i], weighted += weights[i] * cca.correlations[i];

  pwcca_result out;
  out.score = std::clamp(weighted / sum, cca.correlations[weights.size() - 1], cca.correlations[0]);
  // Exact whitening turns T, too: by as much again as it moves its singular values, at most.
  const Eigen::VectorXd off = detail::weight_errors(white.x, svd, 2.0 * error);
  out.error_bound = detail::pwcca_error(cca.correlations, weights, off, out.score, cca.error_bound);
  out.x_rank = cca.x_rank, out.y_rank = cca.y_rank;
  out.tokens = cca.tokens;
  out.x_dimensions = cca.x_dimensions, out.y_dimensions = cca.y_dimensions;
  out.underdetermined = cca.underdetermined;
  return out;
}

/// projection_weighted_cca() of accumulated moments, cross_moments(second_moments::both). Throws degenerate_input_error
/// for no tokens, too.
template <std::same_as<cross_moments> Moments>
pwcca_result projection_weighted_cca(const Moments& moments) {
  return projection_weighted_cca(moments.scatter());
}

/// projection_weighted_cca() of matrices: x: n_tokens x d_x, y: n_tokens x d_y, of any scalar types and layouts; mask:
/// the tokens that take part. Does not change under invertible linear maps of Y, scaling, translation, or the order of
/// the rows; rotations of X change the weights. Throws as cross_moments::add, too. Costs 4 n d^2 flops and about 13 d^3.
template <embedding_matrix X, embedding_matrix Y>
pwcca_result projection_weighted_cca(const X& x, const Y& y, const token_mask& mask = {}) {
  return projection_weighted_cca(detail::moments_of_both(x, y, mask));
}

/// projection_weighted_cca(x, y, mask).score
template <embedding_matrix X, embedding_matrix Y>
double pwcca(const X& x, const Y& y, const token_mask& mask = {}) {
  return projection_weighted_cca(x, y, mask).score;
}

/// projection_weighted_cca(moments).score
template <std::same_as<cross_moments> Moments>
double pwcca(const Moments& moments) {
  return projection_weighted_cca(moments).score;
}

}  // namespace layerwise::inline LAYERWISE_ABI
