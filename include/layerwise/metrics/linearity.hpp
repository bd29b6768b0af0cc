// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/solve/detail/regress.hpp>
#include <layerwise/solve/detail/regression.hpp>
#include <layerwise/solve/linearity_options.hpp>
#include <layerwise/statistics/cross_moments.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>

#include <algorithm>

/// @file
/// Linearity scores of a layer, with and without its residual stream.
namespace layerwise::inline LAYERWISE_ABI {

/// A linearity score and what one must know to read it.
struct linearity_result {
  /// s in [0, 1]: the share of Y's energy that a linear map of X explains.
  double score = 0.0;
  /// 1 - (1 - s)(n - 1)/(n - 1 - rank), with n for n - 1 without centring: s with the chance floor taken
  /// to 0. May be negative. 0 when underdetermined: the score then equals its chance floor.
  double adjusted_score = 0.0;
  /// E[s] for Y independent of X: rank / (n - 1) (rank / n without centring), at most 1.
  double chance_floor = 0.0;
  /// |score - exact score of the given data| is at most this; see solve/detail/certificate.hpp for the derivation, and
  /// for what of it is proof and what is statistics. Where columns are dependent up to rounding and the data was at
  /// hand, exact is meant for the columns that were kept, as many as the rank that is reported.
  double error_bound = 0.0;
  /// Condition number (2-norm, a Lanczos estimate from below) of X with its columns scaled to unit norm,
  /// restricted to the directions that were kept.
  double condition = 1.0;
  /// Share of the scaled columns' energy in the directions left out as numerically dependent.
  double discarded_energy = 0.0;
  /// Numerical rank of (centred) X.
  index rank = 0;
  /// Tokens that took part.
  index tokens = 0;
  index x_dimensions = 0;  ///< d_x
  index y_dimensions = 0;  ///< d_y
  /// True if rank >= n - 1 (n without centring): any Y at all scores 1, and the score means nothing.
  bool underdetermined = false;
  /// What solver::automatic settled on.
  solver method = solver::automatic;
};

/// The fields of a linearity.
template <>
inline constexpr auto fields<linearity_result> = field_list(
    field{"score", &linearity_result::score, "share of the energy that a linear map explains"},
    field{"adjusted_score", &linearity_result::adjusted_score, "the score with the chance floor taken to 0"},
    field{"chance_floor", &linearity_result::chance_floor, "the expected score of independent data"},
    field{"error_bound", &linearity_result::error_bound, "how far rounding can have moved the score"},
    field{"condition", &linearity_result::condition, "of the columns of X, scaled to unit norm"},
    field{"discarded_energy", &linearity_result::discarded_energy, "share left out as numerically dependent"},
    field{"rank", &linearity_result::rank, "of X"}, field{"tokens", &linearity_result::tokens, "that took part"},
    field{"x_dimensions", &linearity_result::x_dimensions, "columns of X"},
    field{"y_dimensions", &linearity_result::y_dimensions, "columns of Y"},
    field{"underdetermined", &linearity_result::underdetermined, "any Y at all would score 1"},
    field{"method", &linearity_result::method, "that solved the regression"});

namespace detail {

inline linearity_result make_result(const regression& fit, const pair_moments& m, regression_target what);

}  // namespace detail

/// Linearity score of a layer with its residual stream (arXiv 2405.12250, Procrustes similarity).
///
///     s(X, Y) = 1 - min_A ||X~ A - Y~||_F^2
///
/// with X~, Y~ the Procrustes-normalized X, Y (procrustes_normalize()) and A any d_x x d_y matrix: the
/// share of Y's variance that an affine map of X explains: 1 is an exactly linear layer, and independent
/// data scores rank/(n - 1) by chance.
///
/// x: n_tokens x d_x, y: n_tokens x d_y; scalar types and layouts may differ; mask: the tokens that
/// take part. The result is in [0, 1] and does not change under invertible linear maps of X, orthogonal maps of Y,
/// scaling, translation, or the order of the rows.
///
/// Throws shape_error if the numbers of rows differ; non_finite_error; degenerate_input_error if a
/// matrix is empty or X or Y has no variance. Columns of X, or a Y, that vary by 1e140 times less than the largest
/// element of the matrix count as constant. Rank deficiency is no error: see linearity_result::rank, and
/// linearity_result::underdetermined for n <= d. Cost: 3 n d^2 flops and O(d^2) memory, and one Cholesky
/// factorization, 1.3 d^3 flops, or 2.3 d^3 where the first bound is not within options.tolerance; where that is not
/// enough (conditions from about 1e3 on), a second pass over the data for the residual, 4 n d^2 flops; where that is
/// not either (from about 1e6 on), a Householder factorization, about 6 n d^2 flops at a third of the rate; and at last
/// one or two passes in double-double of 40 n d^2 flops each, after which the score is good to 1e-8 up to a condition
/// of 1e12.
template <embedding_matrix X, embedding_matrix Y>
linearity_result linearity(const X& x, const Y& y, const linearity_options& options = {}, const token_mask& mask = {}) {
  const auto [m, fit] = detail::regress(x, y, {options, detail::regression_target::output, detail::pair_names}, mask);
  return detail::make_result(fit, m, detail::regression_target::output);
}

/// linearity() of accumulated moments. With the data gone, an ill-conditioned problem is solved by a
/// rank-revealing factorization, whose error_bound then says how far the score can be trusted. Throws
/// degenerate_input_error for no tokens, and for no variance or none above the rounding of the sums; option_error for
/// solver::orthogonal.
inline linearity_result linearity(const cross_moments& moments, const linearity_options& options = {}) {
  const auto [m, fit] = detail::regress(moments, {options, detail::regression_target::output, detail::pair_names});
  return detail::make_result(fit, m, detail::regression_target::output);
}

/// linearity(x, y, options, mask).score
template <embedding_matrix X, embedding_matrix Y>
double linearity_score(const X& x, const Y& y, const linearity_options& options = {}, const token_mask& mask = {}) {
  return linearity(x, y, options, mask).score;
}

/// linearity(moments, options).score
inline double linearity_score(const cross_moments& moments, const linearity_options& options = {}) {
  return linearity(moments, options).score;
}

/// Linearity of what a layer adds to the residual stream (arXiv 2405.12250): s(h_{l-1}, h_l - h_{l-1}).
///
/// before, after: n_tokens x d. Range, invariances (but for scaling one of the two), errors and cost as
/// linearity(); the two differ only in their denominators: s_res = 1 - (1 - s) tr S_yy / tr S_dd. after =
/// before up to a constant offset, exactly, is a degenerate_input_error: there is no update whose linearity could be
/// asked.
template <embedding_matrix Before, embedding_matrix After>
linearity_result residual_linearity(const Before& before, const After& after, const linearity_options& options = {},
                                    const token_mask& mask = {}) {
  const auto [m, fit] =
      detail::regress(before, after, {options, detail::regression_target::update, detail::residual_names}, mask);
  return detail::make_result(fit, m, detail::regression_target::update);
}

/// residual_linearity() of accumulated moments; shape_error if d_x != d_y.
inline linearity_result residual_linearity(const cross_moments& moments, const linearity_options& options = {}) {
  const auto [m, fit] = detail::regress(moments, {options, detail::regression_target::update, detail::residual_names});
  return detail::make_result(fit, m, detail::regression_target::update);
}

/// residual_linearity(before, after, options, mask).score
template <embedding_matrix Before, embedding_matrix After>
double residual_linearity_score(const Before& before, const After& after, const linearity_options& options = {},
                                const token_mask& mask = {}) {
  return residual_linearity(before, after, options, mask).score;
}

/// residual_linearity(moments, options).score
inline double residual_linearity_score(const cross_moments& moments, const linearity_options& options = {}) {
  return residual_linearity(moments, options).score;
}

namespace detail {

/// The score of one of the two regressions, whose energy is not 0. Never outside [0, 1], and the error bound
/// never larger than the score could be off.
inline linearity_result make_result(const regression& fit, const pair_moments& m, regression_target what) {
  const total_energy& total = m.total(what);
  const double freedom = static_cast<double>(m.degrees_of_freedom());
  const double rank = static_cast<double>(fit.rank);
  const double unexplained = unexplained_share(m.in_units_of(what, fit.residual_energy), total.value);

  linearity_result out;
  out.score = 1.0 - unexplained;
  out.chance_floor = (std::min)(1.0, rank / freedom);
  out.underdetermined = rank >= freedom;
  out.adjusted_score = out.underdetermined ? 0.0 : 1.0 - unexplained * freedom / (freedom - rank);
  // The error of the residual energy, and that of the energy it is divided by; in more than all, nothing is known.
  const double wrong = total.relative_error, most = (std::max)(out.score, unexplained);
  const double error = m.in_units_of(what, fit.error_for(what)) / total.value;
  const double bound = wrong < 1.0 ? (error + unexplained * wrong) / (1.0 - wrong) : most;
  out.error_bound = (std::min)(bound + 4.0 * unit_roundoff, most);
  out.condition = fit.condition;
  out.discarded_energy = fit.discarded_energy;
  out.rank = fit.rank;
  out.tokens = m.tokens;
  out.x_dimensions = m.x_dimensions(), out.y_dimensions = m.y_dimensions();
  out.method = fit.method;
  return out;
}

}  // namespace detail
}  // namespace layerwise::inline LAYERWISE_ABI
