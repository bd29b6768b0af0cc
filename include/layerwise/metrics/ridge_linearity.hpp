// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/bounded.hpp>
#include <layerwise/kernel/cholesky.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/metrics/detail/pair_scatter.hpp>
#include <layerwise/metrics/detail/row_energies.hpp>
#include <layerwise/metrics/linearity.hpp>
#include <layerwise/solve/detail/certificate.hpp>
#include <layerwise/statistics/cross_moments.hpp>
#include <layerwise/statistics/scatter.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <concepts>

/// @file
/// Linearity with a ridge: how much of one layer a map of bounded size explains of another.
namespace layerwise::inline LAYERWISE_ABI {

/// A linearity with a ridge, and how far rounding can have moved it.
struct ridge_result {
  double score = 0.0;        ///< in [0, 1], and not above that without a ridge
  double error_bound = 0.0;  ///< |score - exact score of the given data| is at most this
  double lambda = 0.0;       ///< in units of the mean eigenvalue of S_xx
  index tokens = 0;          ///< that took part
  index x_dimensions = 0;    ///< d_x
  index y_dimensions = 0;    ///< d_y
};

/// The fields of a linearity with a ridge.
template <>
inline constexpr auto fields<ridge_result> =
    field_list(field{"score", &ridge_result::score, "share of the energy that the ridge's map explains"},
               field{"error_bound", &ridge_result::error_bound, "how far rounding can have moved the score"},
               field{"lambda", &ridge_result::lambda, "in units of the mean eigenvalue"},
               field{"tokens", &ridge_result::tokens, "that took part"},
               field{"x_dimensions", &ridge_result::x_dimensions, "columns of X"},
               field{"y_dimensions", &ridge_result::y_dimensions, "columns of Y"});

namespace detail {

inline void check_ridge(double lambda) {
  if (!(lambda >= 0.0 && lambda <= largest_safe_gradient_factor))
    fail<option_error>("a lambda in 0..1e100", text(lambda), {.operand = "ridge_linearity"});
}

/// What rounding can do to a ridge regression
///
/// In units that bring X and Y near 1. Computed are G~ = G + E of G = S_xx + lambda I, and b~ = b + e of a column t of
/// Y, with P_i^2 = G_ii or the energy of the column as it was summed, whichever is more, q the same of t, and dlambda
/// the error of the mean eigenvalue:
///     |E_ij| <= gamma P_i P_j + (dlambda if i = j),  |e_i| <= gamma P_i q,  gamma as in certificate 1.
///     (solve/detail/certificate.hpp), which has the roundings of the factorization and of both substitutions.
/// G has no eigenvalue below lambda, so from G (a~ - a*) = e - E a~, with no doubt about the condition,
///     ||a~ - a*|| <= (gamma ||P|| q + (gamma ||P||^2 + dlambda) ||a~||) / lambda =: drift.
/// The energy explained is h + lambda ||a*||^2 of h = max_a (2 a^T b - a^T G a) = b^T G^-1 b. At any a the two
/// maximands differ by gamma (|a|_P + q)^2 + dlambda ||a||^2 at most, |a|_P = sum P_i |a_i|, so that with r = ||a~|| +
/// drift
///     |h - h~| <= gamma (|a~|_P + ||P|| drift + q)^2 + dlambda r^2,
///     |lambda ||a*||^2 - lambda~ ||a~||^2| <= lambda (r^2 - ||a~||^2) + dlambda r^2.
struct ridge_rounding {
  Eigen::VectorXd p;  ///< P
  double gamma, lambda, lambda_error;

  /// Of a~, a column of the solution.
  double of_column(const double* a, double q) const {
    const double size = std::sqrt(detail::squared_norm(a, p.size())), norm_p = norm(p);
    const double drift =
        (gamma * norm_p * q + (gamma * norm_p * norm_p + lambda_error) * size) / (lambda - lambda_error);
    const double reach = weighted_sum(p, a) + norm_p * drift + q;
    return gamma * reach * reach + lambda * drift * (2.0 * size + drift) +
           2.0 * lambda_error * (size + drift) * (size + drift);
  }
};

/// ||Y||^2 - ||Y - X A||^2, over ||Y||^2, of the ridge's A.
template <std::same_as<scatter> Scatter>
bounded ridge_score(const Scatter& s, double lambda_in_means) {
  const double x = root_scale(s.xx, "X"), y = root_scale(s.yy, "Y"), d = static_cast<double>(s.xx.cols());
  const bounded mean = trace_of(s.xx, s.rounding.of_xx(), x * x) / bounded{d, 0.0};
  const bounded lambda = mean * bounded{lambda_in_means, 0.0};
  matrix g = scaled(s.xx, x, x), a = scaled(s.xy, x, y);
  ridge_rounding rounding{Eigen::VectorXd(g.rows()),
                          s.rounding.gamma + unit_roundoff * (3.0 * elimination_chain(g.rows()) + 16.0), lambda.value,
                          lambda.error};
  for (index i = 0; i < g.rows(); ++i) {
    g(i, i) += lambda.value;
    rounding.p[i] = (std::max)(std::sqrt(g(i, i)), x * s.rounding.x_norm[i]);
  }
  if (!(lambda.value > lambda.error) || !cholesky_in_place(g, a))
    fail<degenerate_input_error>("a lambda, or independent columns, beyond rounding", text("lambda ", lambda_in_means),
                                 {.operand = "X"});
  double explained = column_energies(a).sum(), size = 0.0, error = 0.0;
  substitute_back(g, a);
  for (index c = 0; c < a.cols(); ++c) {
    size += squared_norm(column(a, c), a.rows());
    error += rounding.of_column(column(a, c), y * s.rounding.cross_norm[c]);
  }
  explained += lambda.value * size;
  error += static_cast<double>(a.rows() + a.cols() + 8) * unit_roundoff * explained;
  return kept_within(bounded{explained, error} / trace_of(s.yy, s.rounding.of_yy(), y * y), 0.0, 1.0);
}

}  // namespace detail

/// The share of Y's energy that the ridge regression on X explains, of second moments about the means,
/// cross_moments(second_moments::both):
///
///     1 - ||X~ A - Y~||_F^2 / ||Y~||_F^2,  A = (S_xx + lambda tr(S_xx) / d_x I)^-1 S_xy
///
/// lambda counts in mean eigenvalues of S_xx, so that it means the same for any number of tokens and any scale of X:
/// scikit-learn's Ridge has alpha = lambda tr(S_xx) / d_x. In [0, 1], falls as lambda grows; 0 is linearity(moments),
/// its score and bound to the last bit. With a lambda the columns may be dependent. Does not change under rotations of
/// X and of Y, scaling, translation, or the order of the rows; scaling a single column of X changes it.
///
/// The bound takes lambda alone for the least eigenvalue, and so is some 1e-15 / lambda: below
/// 1e-10 it says little.
///
/// Throws option_error for moments without y^T y and for a lambda that is negative, NaN or above 1e100;
/// degenerate_input_error for no tokens, where X or Y has no variance, and where rounding hides a tiny lambda and
/// columns are dependent. Costs 2.3 d^3 flops.
template <std::same_as<cross_moments> Moments>
ridge_result ridge_linearity(const Moments& moments, double lambda) {
  detail::check_ridge(lambda);
  const scatter s = moments.scatter();
  detail::require_both(s, "ridge_linearity");
  ridge_result out{.lambda = lambda + 0.0,  // never -0
                   .tokens = s.tokens};
  out.x_dimensions = s.x_dimensions(), out.y_dimensions = s.y_dimensions();
  if (lambda == 0.0) {
    const linearity_result plain = linearity(moments);
    out.score = plain.score, out.error_bound = plain.error_bound;
  } else {
    const detail::bounded score = detail::ridge_score(s, lambda);
    out.score = score.value, out.error_bound = score.error;
  }
  return out;
}

/// ridge_linearity() of matrices: x: n_tokens x d_x, y: n_tokens x d_y, of any scalar types and layouts; mask: the
/// tokens that take part. Throws as cross_moments::add, too. Costs 4 n d^2 flops and 2.3 d^3.
template <embedding_matrix X, embedding_matrix Y>
ridge_result ridge_linearity(const X& x, const Y& y, double lambda, const token_mask& mask = {}) {
  detail::check_ridge(lambda);
  return ridge_linearity(detail::moments_of_both(x, y, mask), lambda);
}

}  // namespace layerwise::inline LAYERWISE_ABI
