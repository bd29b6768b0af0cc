// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/product.hpp>
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
#include <string_view>
#include <utility>

/// @file
/// Singular vector canonical correlation of two layers.
namespace layerwise::inline LAYERWISE_ABI {

namespace detail {

/// The directions of a layer with most of its variance.
struct leading_directions {
  double factor = 1.0;        ///< a power of two, by which the layer is multiplied
  Eigen::VectorXd variances;  ///< of the directions kept, descending: times n - 1
  matrix vectors;             ///< a column each
  double eta = HUGE_VAL;      ///< ||M - I||_2, M the exact second moments of the exact directions, whitened by these
  double tau = HUGE_VAL;      ///< ||W' - W||_2, with W = X U diag(variances)^-1/2 and W' the same of exact directions

  index rank() const { return variances.size(); }
};

/// How many of the eigenvalues, descending, have `share` of the total: at most as many as are certain.
inline index leading_count(const Eigen::VectorXd& values, double share, double error, index limit) {
  double total = 0.0, sum = 0.0;
  for (index k = 0; k < values.size(); ++k) total += values[k];
  index count = 0;
  for (limit = (std::min)(limit, values.size()); count < limit; ++count) {
    if (count > 0 && (sum >= share * total || !(values[count] > 4.0 * error))) break;
    sum += values[count];
  }
  return count;
}

/// Of second moments that are off by `error` in the Frobenius norm. With all errors in E and gap the distance of the
/// eigenvalues kept from the others, the exact directions are U + dU up to a rotation among them,
/// ||dU||_2 <= sqrt 2 ||E|| / (gap - 2 ||E||) (Davis and Kahan), and ||X dU|| <= sqrt(lambda_1) ||dU||.
template <class Second>
leading_directions find_leading_directions(const Second& second, double error, double share, std::string_view name,
                                           index limit) {
  leading_directions out;
  out.factor = size_of(second, error, name).factor;
  const matrix a = scaled(second, out.factor, out.factor);
  singular_values svd = decompose<singular_vectors::left>(a);
  const double off = out.factor * error * out.factor + rounding_of_svd(a.rows(), a.cols(), a.norm());
  const index count = leading_count(svd.values, share, off, limit);
  out.variances = svd.values.head(count);
  out.vectors = svd.u.leftCols(count);
  const double first = svd.values[0], last = svd.values[count - 1];
  double turned = 0.0;  // all directions there are: there is nothing to turn to
  if (count < svd.values.size()) {
    const double gap = last - svd.values[count];
    turned = gap > 4.0 * off ? std::numbers::sqrt2 * off / (gap - 2.0 * off) : HUGE_VAL;
  }
  out.tau = turned * std::sqrt((first + off) / last);
  out.eta = off / last + 2.0 * out.tau * (1.0 + off / last) + out.tau * out.tau;
  return out;
}

/// T = diag(variances of X)^-1/2 U^T (X^T Y) V diag(variances of Y)^-1/2, as of certain columns.
inline whitened_pair whiten(const matrix& cross, double cross_error, const leading_directions& x,
                            const leading_directions& y) {
  const matrix c = scaled(cross, x.factor, y.factor);
  const double norm = std::sqrt(column_energies(c).sum());
  matrix t = product_of(product_of(c, x.vectors), y.vectors);
  for (index j = 0; j < t.cols(); ++j)
    for (index i = 0; i < t.rows(); ++i) t(i, j) /= std::sqrt(x.variances[i]) * std::sqrt(y.variances[j]);

  const double weakest = std::sqrt(x.variances[x.rank() - 1]) * std::sqrt(y.variances[y.rank() - 1]);
  const auto of_product = [](index terms, index kept) {
    return unit_roundoff * static_cast<double>(terms + 4) * std::sqrt(static_cast<double>(kept));
  };
  const double rounding = norm * (of_product(c.rows(), x.rank()) + of_product(c.cols(), y.rank()));
  const double of_sums = (x.factor * cross_error * y.factor + 2.0 * rounding) / weakest;
  const double error = of_sums + 2.0 * (x.tau + y.tau + x.tau * y.tau);
  const bool is_certain = x.eta < 0.5 && y.eta < 0.5 && std::isfinite(error);
  if (!is_certain) return {std::move(t), HUGE_VAL, HUGE_VAL};
  return {std::move(t), error, 1.0 / std::sqrt((1.0 - x.eta) * (1.0 - y.eta))};
}

inline void require_share(double share) {
  if (!(share > 0.0 && share <= 1.0)) fail<option_error>("a share in (0, 1]", text(share), {.operand = "svcca"});
}

}  // namespace detail

/// Singular vector CCA of second moments about the means (Raghu et al. 2017, arXiv 1706.05806): cca() of the principal
/// components of X and of Y, as few of each as have `share` of the variance (of the squared singular values).
///
/// The ranks of the result are the numbers of components, and "exact" in its error bound is meant for as many: the
/// bound is large where the last component kept and the first one left out have nearly the same variance. Components
/// that moments cannot tell from rounding are left out whatever the share.
///
/// share: in (0, 1]. Throws option_error for another one, and as cca(). Costs about 20 d^3 flops on one thread, and
/// 4 d^2 for each component.
template <std::same_as<scatter> Scatter>
cca_result singular_vector_cca(const Scatter& s, double share = 0.99) {
  detail::require_share(share);
  detail::require_both(s, "svcca");
  detail::require_centred(s, "svcca");
  const index limit = s.tokens - 1;
  const auto x = detail::find_leading_directions(s.xx, s.rounding.of_xx(), share, "X",
                                                 (std::max<index>)(1, (std::min)(limit, s.different_rows - 1)));
  const auto y = detail::find_leading_directions(s.yy, s.rounding.of_yy(), share, "Y", (std::max<index>)(1, limit));
  const detail::whitened_pair pair = detail::whiten(s.xy, s.rounding.of_xy(), x, y);
  Eigen::VectorXd values = detail::decompose<detail::singular_vectors::none>(pair.t).values;
  const double error = pair.value_error(detail::rounding_of_svd(pair.t.rows(), pair.t.cols(), pair.t.norm()));
  return detail::correlations_of(s, std::move(values), error, x.rank(), y.rank());
}

/// singular_vector_cca() of accumulated moments, cross_moments(second_moments::both). Throws degenerate_input_error for
/// no tokens, too.
template <std::same_as<cross_moments> Moments>
cca_result singular_vector_cca(const Moments& moments, double share = 0.99) {
  return singular_vector_cca(moments.scatter(), share);
}

/// singular_vector_cca() of matrices: x: n_tokens x d_x, y: n_tokens x d_y, of any scalar types and layouts; mask: the
/// tokens that take part. Does not change under rotations of X or of Y, scaling, translation, or the order of the rows.
/// Throws as cross_moments::add, too. Costs 4 n d^2 flops and about 20 d^3.
template <embedding_matrix X, embedding_matrix Y>
cca_result singular_vector_cca(const X& x, const Y& y, double share = 0.99, const token_mask& mask = {}) {
  detail::require_share(share);
  return singular_vector_cca(detail::moments_of_both(x, y, mask), share);
}

/// singular_vector_cca(x, y, share, mask).mean
template <embedding_matrix X, embedding_matrix Y>
double svcca(const X& x, const Y& y, double share = 0.99, const token_mask& mask = {}) {
  return singular_vector_cca(x, y, share, mask).mean;
}

/// singular_vector_cca(moments, share).mean
template <std::same_as<cross_moments> Moments>
double svcca(const Moments& moments, double share = 0.99) {
  return singular_vector_cca(moments, share).mean;
}

}  // namespace layerwise::inline LAYERWISE_ABI
