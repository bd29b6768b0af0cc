// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/bounded.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/svd.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/metrics/detail/pair_scatter.hpp>
#include <layerwise/statistics/cross_moments.hpp>
#include <layerwise/statistics/scatter.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <string_view>

/// @file
/// Orthogonal Procrustes distances of two layers, or of two models on the same tokens.
namespace layerwise::inline LAYERWISE_ABI {

/// How near an orthogonal map brings X to Y. With X^ and Y^ the centred X and Y divided by their Frobenius norms, and
/// nuc = ||X^^T Y^||_*, the sum of the singular values. Other packages call any of 1 - nuc (half the squared distance),
/// 1 - nuc^2, the squared distance, the distance and the angle "Procrustes distance".
struct procrustes_result {
  double similarity = 0.0;        ///< nuc, in [0, 1]: 1 where Y is X up to rotation and scale
  double distance = 0.0;          ///< min over orthogonal Q of ||X^ Q - Y^||_F = sqrt(2 - 2 nuc), in [0, sqrt 2]
  double squared_distance = 0.0;  ///< 2 - 2 nuc, in [0, 2]
  double angle = 0.0;             ///< arccos nuc, in [0, pi/2], the Riemannian shape distance
  /// min over orthogonal Q of ||Xc Q - Yc||_F, of the centred X and Y as they are, in their unit. sqrt(n) times a
  /// distance per token.
  double size_and_shape_distance = 0.0;
  double error_bound = 0.0;                 ///< |similarity - exact one of the given data| is at most this
  double distance_error_bound = 0.0;        ///< the same of the distance; that of its square is twice error_bound
  double angle_error_bound = 0.0;           ///< of the angle
  double size_and_shape_error_bound = 0.0;  ///< of the size and shape distance
  index tokens = 0;                         ///< that took part
  index x_dimensions = 0;                   ///< d_x
  index y_dimensions = 0;                   ///< d_y
};

/// The fields of a Procrustes comparison.
template <>
inline constexpr auto fields<procrustes_result> = field_list(
    field{"similarity", &procrustes_result::similarity, "nuclear norm of the normalized X^T Y"},
    field{"distance", &procrustes_result::distance, "between the normalized X and Y, rotated"},
    field{"squared_distance", &procrustes_result::squared_distance, "its square"},
    field{"angle", &procrustes_result::angle, "arccos of the similarity"},
    field{"size_and_shape_distance", &procrustes_result::size_and_shape_distance, "between X and Y, rotated"},
    field{"error_bound", &procrustes_result::error_bound, "how far rounding can have moved the similarity"},
    field{"distance_error_bound", &procrustes_result::distance_error_bound, "the same of the distance"},
    field{"angle_error_bound", &procrustes_result::angle_error_bound, "of the angle"},
    field{"size_and_shape_error_bound", &procrustes_result::size_and_shape_error_bound,
          "of the size and shape distance"},
    field{"tokens", &procrustes_result::tokens, "that took part"},
    field{"x_dimensions", &procrustes_result::x_dimensions, "columns of X"},
    field{"y_dimensions", &procrustes_result::y_dimensions, "columns of Y"});

namespace detail {

/// ||X^^T Y^||_* of normalized X^, Y^. |  ||A||_* - ||B||_*  | <= sqrt(rank) ||A - B||_F.
template <class Scatter>
bounded nuclear_norm(const Scatter& s, const layer_size& x, const layer_size& y) {
  const matrix a = scaled(s.xy, x.factor, y.factor);
  const Eigen::VectorXd values = decompose<singular_vectors::none>(a).values;
  double sum = 0.0;
  for (index k = 0; k < values.size(); ++k) sum += values[k];
  const double root = std::sqrt(static_cast<double>(values.size()));
  const double of_sums = x.factor * s.rounding.of_xy() * y.factor;
  const double rounding = rounding_of_svd(a.rows(), a.cols(), a.norm()) + root * unit_roundoff * sum;
  return bounded{sum, root * (of_sums + rounding)} / x.norm / y.norm;
}

/// A size in the data's own unit; throws non_finite_error beyond the range of double.
inline bounded own_size(const layer_size& of, double scale, std::string_view name) {
  const double own = of.norm.value / of.factor / scale;
  if (!std::isfinite(own)) fail<non_finite_error>("a norm within the range of double", text(own), {.operand = name});
  return {own, own * (of.norm.error / of.norm.value + 4.0 * unit_roundoff) + std::numeric_limits<double>::denorm_min()};
}

/// ||Xc Q - Yc||_F = sqrt((a - b)^2 + a b (2 - 2 nuc)) of ||Xc|| = a, ||Yc|| = b, in units of the larger.
inline bounded size_and_shape(const bounded& a, const bounded& b, double squared, double squared_error) {
  const double unit = (std::max)(a.value, b.value);
  const bounded x{a.value / unit, a.error / unit}, y{b.value / unit, b.error / unit};
  const auto distance = [&](double sign) {
    const double difference = (std::max)(0.0, std::abs(x.value - y.value) + sign * (x.error + y.error));
    const double product = (std::max)(0.0, x.value + sign * x.error) * (std::max)(0.0, y.value + sign * y.error);
    return std::sqrt(difference * difference + product * std::clamp(squared + sign * squared_error, 0.0, 2.0));
  };
  const double here = distance(0.0), error = (std::max)(here - distance(-1.0), distance(1.0) - here);
  return {unit * here, unit * (error + 8.0 * unit_roundoff * here)};
}

/// All that follows from the similarity.
inline procrustes_result procrustes_of(const bounded& nuclear, const bounded& x, const bounded& y) {
  constexpr double rounding = 4.0 * unit_roundoff;
  procrustes_result out;
  const bounded kept = kept_within(nuclear, 0.0, 1.0);  // 0 where nothing is known
  out.similarity = kept.value, out.error_bound = kept.error;
  const auto distance = [](double similarity) { return std::sqrt(2.0 - 2.0 * similarity); };
  const auto angle = [](double similarity) { return std::acos(similarity); };
  out.squared_distance = 2.0 - 2.0 * out.similarity;
  out.distance = distance(out.similarity);
  out.angle = angle(out.similarity);
  out.distance_error_bound = error_of(distance, out.similarity, out.error_bound, 0.0, 1.0) + rounding * out.distance;
  out.angle_error_bound = error_of(angle, out.similarity, out.error_bound, 0.0, 1.0) + rounding;
  const bounded sizes = size_and_shape(x, y, out.squared_distance, 2.0 * out.error_bound);
  out.size_and_shape_distance = sizes.value;
  out.size_and_shape_error_bound = sizes.error;
  return out;
}

}  // namespace detail

/// Orthogonal Procrustes comparison of second moments about the means (Schoenemann 1966; Ding et al. 2021,
/// arXiv 2108.01661, whose distance is the squared one; Williams et al. 2021, arXiv 2110.14739, for the angle and the
/// size and shape distance).
///
/// Of any two widths: the narrower layer counts as filled up with columns of 0. The similarity comes of moments to
/// about 1e-13, and so a distance below about 1e-6 has few digits, and one below 3e-7 none: see distance_error_bound.
///
/// Throws option_error for moments without y^T y or not centred, degenerate_input_error where X or Y has no variance,
/// non_finite_error where the norm of X or of Y is beyond the range of double. Costs about 3 d^3 flops, on one thread.
template <std::same_as<scatter> Scatter>
procrustes_result procrustes(const Scatter& s) {
  detail::require_both(s, "procrustes");
  detail::require_centred(s, "procrustes");
  const detail::layer_size x = detail::size_of(s.xx, s.rounding.of_xx(), "X");
  const detail::layer_size y = detail::size_of(s.yy, s.rounding.of_yy(), "Y");
  const detail::bounded x_size = detail::own_size(x, s.x_scale, "X"), y_size = detail::own_size(y, s.y_scale, "Y");
  procrustes_result out = detail::procrustes_of(detail::nuclear_norm(s, x, y), x_size, y_size);
  out.tokens = s.tokens;
  out.x_dimensions = s.x_dimensions(), out.y_dimensions = s.y_dimensions();
  return out;
}

/// procrustes() of accumulated moments, cross_moments(second_moments::both). Throws degenerate_input_error for no
/// tokens, too.
template <std::same_as<cross_moments> Moments>
procrustes_result procrustes(const Moments& moments) {
  return procrustes(moments.scatter());
}

/// procrustes() of matrices: x: n_tokens x d_x, y: n_tokens x d_y, of any scalar types and layouts; mask: the tokens
/// that take part. Does not change under rotations of X or of Y, translation, or the order of the rows; scaling changes
/// the size and shape distance only. Throws as cross_moments::add, too. Costs 4 n d^2 flops and about 3 d^3.
template <embedding_matrix X, embedding_matrix Y>
procrustes_result procrustes(const X& x, const Y& y, const token_mask& mask = {}) {
  return procrustes(detail::moments_of_both(x, y, mask));
}

}  // namespace layerwise::inline LAYERWISE_ABI
