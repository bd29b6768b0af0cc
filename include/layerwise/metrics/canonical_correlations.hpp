// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/svd.hpp>
#include <layerwise/metrics/detail/independent_columns.hpp>
#include <layerwise/metrics/detail/pair_scatter.hpp>
#include <layerwise/statistics/cross_moments.hpp>
#include <layerwise/statistics/scatter.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <string_view>
#include <utility>

/// @file
/// Canonical correlations of two layers, or of two models on the same tokens.
namespace layerwise::inline LAYERWISE_ABI {

/// Canonical correlations, and what one must know to read them.
struct cca_result {
  double mean = 0.0;         ///< of the correlations, mean CCA, in [0, 1]
  double mean_square = 0.0;  ///< of the squared correlations, in [0, 1]: Yanai's, or Pillai's trace over their number
  /// E[mean_square] of X independent of Y and normal: the larger rank / (n - 1), at most 1.
  double chance_floor = 0.0;
  /// |rho_i - exact rho_i of the given data| is at most this, for each correlation and so for the mean; twice as much
  /// for the mean of squares. Exact is meant for the columns that were kept, as many as the ranks say.
  double error_bound = 0.0;
  index x_rank = 0;        ///< of the certain columns of X
  index y_rank = 0;        ///< of those of Y
  index tokens = 0;        ///< that took part
  index x_dimensions = 0;  ///< d_x
  index y_dimensions = 0;  ///< d_y
  /// True if x_rank + y_rank > n - 1: some correlations are 1 whatever the data, and the result means nothing.
  bool underdetermined = false;
  Eigen::VectorXd correlations;  ///< rho_1 >= rho_2 >= ..., min(x_rank, y_rank) of them, in [0, 1]
};

/// The fields of canonical correlations that are single numbers: all but the correlations.
template <>
inline constexpr auto fields<cca_result> =
    field_list(field{"mean", &cca_result::mean, "mean canonical correlation"},
               field{"mean_square", &cca_result::mean_square, "mean squared canonical correlation"},
               field{"chance_floor", &cca_result::chance_floor, "the expected mean square of independent data"},
               field{"error_bound", &cca_result::error_bound, "how far rounding can have moved a correlation"},
               field{"x_rank", &cca_result::x_rank, "of the certain columns of X"},
               field{"y_rank", &cca_result::y_rank, "of the certain columns of Y"},
               field{"tokens", &cca_result::tokens, "that took part"},
               field{"x_dimensions", &cca_result::x_dimensions, "columns of X"},
               field{"y_dimensions", &cca_result::y_dimensions, "columns of Y"},
               field{"underdetermined", &cca_result::underdetermined, "any data at all would have correlations of 1"});

namespace detail {

/// Of the singular values of T.
inline cca_result correlations_of(const scatter& s, Eigen::VectorXd values, double error, index x_rank, index y_rank) {
  cca_result out;
  const double count = static_cast<double>(values.size()), freedom = static_cast<double>(s.tokens - 1);
  for (index k = 0; k < values.size(); ++k) {
    values[k] = std::clamp(values[k], 0.0, 1.0);
    out.mean += values[k], out.mean_square += values[k] * values[k];
  }
  out.mean = (std::min)(1.0, out.mean / count), out.mean_square = (std::min)(1.0, out.mean_square / count);
  out.correlations = std::move(values);
  out.x_rank = x_rank, out.y_rank = y_rank;
  out.chance_floor = (std::min)(1.0, static_cast<double>((std::max)(x_rank, y_rank)) / freedom);
  out.error_bound = (std::min)(1.0, error + count * unit_roundoff);
  out.tokens = s.tokens;
  out.x_dimensions = s.x_dimensions(), out.y_dimensions = s.y_dimensions();
  out.underdetermined = x_rank + y_rank > s.tokens - 1;
  return out;
}

/// The certain columns of X and of Y, and T. Throws as cca().
struct whitened_layers {
  independent_columns x, y;
  whitened_pair pair;

  whitened_layers(const scatter& s, std::string_view metric) {
    require_both(s, metric);
    require_centred(s, metric);
    require_variance(s.xx, "X");
    require_variance(s.yy, "Y");
    const scatter_rounding& r = s.rounding;
    const index limit = s.tokens - 1;
    x = find_independent_columns(s.xx, r.gamma, r.x_norm, (std::min)(limit, s.different_rows - 1));
    y = find_independent_columns(s.yy, r.gamma, r.y_norm, limit);
    pair = whiten(s.xy, r.gamma, r.cross_norm, x, y);
  }
};

}  // namespace detail

/// Canonical correlation analysis of second moments about the means (Hotelling 1936; of layers: Raghu et al. 2017,
/// arXiv 1706.05806):
///
///     rho_i = singular values of S_xx^-1/2 S_xy S_yy^-1/2,  S the second moments of X and Y with their columns centred
///
/// the largest correlations that linear combinations of X's columns have with such of Y's, each uncorrelated with those
/// before it.
///
/// Columns that moments cannot tell from combinations of the others are left out (Cholesky with complete pivoting of
/// the columns scaled to norm 1), which the ranks report: directions below about 1e-5 of the largest, hundreds of
/// columns wide. Below n = d_x + d_y + 1 tokens some correlations are 1 whatever the data: see
/// cca_result::underdetermined; beside chance_floor the mean says little.
///
/// Throws option_error for moments without y^T y or not centred, degenerate_input_error where X or Y has no variance.
/// Costs about 6 d^3 flops, half of them on one thread.
template <std::same_as<scatter> Scatter>
cca_result cca(const Scatter& s) {
  const detail::whitened_layers white(s, "cca");
  const detail::matrix& t = white.pair.t;
  Eigen::VectorXd values = detail::decompose<detail::singular_vectors::none>(t).values;
  const double error = white.pair.value_error(detail::rounding_of_svd(t.rows(), t.cols(), t.norm()));
  return detail::correlations_of(s, std::move(values), error, t.rows(), t.cols());
}

/// cca() of accumulated moments, cross_moments(second_moments::both). Throws degenerate_input_error for no tokens, too.
template <std::same_as<cross_moments> Moments>
cca_result cca(const Moments& moments) {
  return cca(moments.scatter());
}

/// cca() of matrices: x: n_tokens x d_x, y: n_tokens x d_y, of any scalar types and layouts; mask: the tokens that take
/// part. Does not change under invertible linear maps of X or of Y, translation, or the order of the rows. Throws as
/// cross_moments::add, too. Costs 4 n d^2 flops and about 6 d^3.
template <embedding_matrix X, embedding_matrix Y>
cca_result cca(const X& x, const Y& y, const token_mask& mask = {}) {
  return cca(detail::moments_of_both(x, y, mask));
}

/// cca(x, y, mask).correlations
template <embedding_matrix X, embedding_matrix Y>
Eigen::VectorXd canonical_correlations(const X& x, const Y& y, const token_mask& mask = {}) {
  return cca(x, y, mask).correlations;
}

/// cca(moments).correlations
template <std::same_as<cross_moments> Moments>
Eigen::VectorXd canonical_correlations(const Moments& moments) {
  return cca(moments).correlations;
}

/// cca(x, y, mask).mean
template <embedding_matrix X, embedding_matrix Y>
double mean_cca(const X& x, const Y& y, const token_mask& mask = {}) {
  return cca(x, y, mask).mean;
}

/// cca(moments).mean
template <std::same_as<cross_moments> Moments>
double mean_cca(const Moments& moments) {
  return cca(moments).mean;
}

}  // namespace layerwise::inline LAYERWISE_ABI
