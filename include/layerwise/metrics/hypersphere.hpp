// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/normalize_row.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/row_sums.hpp>
#include <layerwise/metrics/detail/row_angle.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

/// @file
/// Steps on the unit sphere, which a layer of nGPT takes instead of adding an update.
namespace layerwise::inline LAYERWISE_ABI {

namespace detail {

/// A sum of unit vectors, or of multiples up to some factor, that is no longer than this times the factor has lost its
/// direction to rounding.
inline constexpr double least_length_on_sphere = 0x1p-40;

/// Divides a row of a length near 1 by it. Throws degenerate_input_error for another length.
inline void require_unit_row(double* x, index d, const place& at) {
  const double length = std::sqrt(sum_of_squares(x, d));
  if (!(length <= (std::numeric_limits<double>::max)())) fail_non_finite(x, d, at);  // or a length of infinity
  if (!(std::abs(length - 1.0) <= 1e-3))
    fail<degenerate_input_error>("a row of length 1 (see unit_normalized)", text("length ", length), at);
  for (index j = 0; j < d; ++j) x[j] /= length;
}

/// out = (1 - alpha_j) h_j + alpha_j t_j, of length 1. alpha: d values.
inline void step_on_sphere(const double* h, const double* target, const double* alpha, double* out, index d,
                           index row) {
  double reach = 1.0;
  for (index j = 0; j < d; ++j) {
    const double step = alpha[j] * (target[j] - h[j]);
    out[j] = h[j] + step;
    reach = (std::max)(reach, std::abs(step));
  }
  const place at{.operand = "hypersphere_step", .row = row};
  const double scale = make_safe(out, d, at), length = std::sqrt(sum_of_squares(out, d));
  if (!(length > least_length_on_sphere * scale * reach))
    fail<degenerate_input_error>("a step that does not end at the origin", text("length ", length / scale), at);
  for (index j = 0; j < d; ++j) out[j] /= length;
}

/// out = the point at alpha of the arc from h to the target.
template <class T>
void turn_on_sphere(const T* h, const T* target, double alpha, double* out, index d, index row) {
  const row_sums sums = sum_row(h, target, d);
  const place at{.operand = "slerp", .row = row};
  const row_angle angle = measure_angle({h, sum_of_squares(h, d), at}, {target, sums.squares, at}, sums.step, d);
  const double half_opening = std::sqrt(angle.chord) / 2;  // for an obtuse angle sin((pi - theta) / 2)
  if (!angle.acute && half_opening <= least_length_on_sphere)
    fail<degenerate_input_error>("rows that are not opposite, between which there is one shortest arc",
                                 text("an angle of ", angle.radians()), at);
  const double theta = angle.radians();
  const double sine = 2 * half_opening * std::sqrt((std::max)(0.0, 1 - half_opening * half_opening));
  if (!(sine > 0.0)) {  // equal rows
    std::copy_n(h, d, out);
    return;
  }
  if (!std::isfinite(alpha * theta) || !std::isfinite((1 - alpha) * theta))
    fail<non_finite_error>("a turn within the range of double", text(alpha, " times ", theta), at);
  const double of_h = std::sin((1 - alpha) * theta) / sine, of_target = std::sin(alpha * theta) / sine;
  for (index j = 0; j < d; ++j) out[j] = of_h * h[j] + of_target * target[j];
  const double length = std::sqrt(sum_of_squares(out, d));
  if (!(length > 0.0)) fail<degenerate_input_error>("rows whose arc rounding leaves", "a point at the origin", at);
  for (index j = 0; j < d; ++j) out[j] /= length;
}

/// body(row of h, row of target, row of the result, i) for every token.
template <embedding_matrix H, embedding_matrix Target, class Body>
row_matrix on_sphere(const row_reader<H>& from, const Target& target, const Body& body) {
  const row_reader<Target> to(target);
  require_equal_shape(shape_of(from), shape_of(to), {.operand = "target"});
  require_not_empty(from, {.operand = "h"});
  const index d = from.cols();
  row_matrix result(from.rows(), d);
  parallel_chunks(from.rows(), 64, [&](index first, index count) {
    row_block rows(2, d);
    double *h = rows.data(), *t = rows.data() + d;
    for (index i = first; i < first + count; ++i) {
      from.read(i, h);
      to.read(i, t);
      require_unit_row(h, d, {.operand = "h", .row = i});
      require_unit_row(t, d, {.operand = "target", .row = i});
      body(h, t, result.data() + i * d, i);
    }
  });
  return result;
}

template <embedding_matrix H, embedding_matrix Target>
row_matrix hypersphere_step_by(const row_reader<H>& h, const Target& target, const Eigen::VectorXd& alpha) {
  return on_sphere(h, target, [&](const double* from, const double* to, double* out, index i) {
    step_on_sphere(from, to, alpha.data(), out, alpha.size(), i);
  });
}

inline double finite_alpha(double alpha, std::string_view name) {
  if (!std::isfinite(alpha)) fail<non_finite_error>("a finite alpha", text(alpha), {.operand = name});
  return alpha;
}

}  // namespace detail

/// A layer of nGPT (Loshchilov et al. 2024, arXiv 2410.01131): each token's point h of the unit sphere on its way to
/// the point that attention or the MLP suggests,
///
///     h' = Norm(h + alpha (target - h)),  Norm(x) = x / ||x||
///
/// h, target: n_tokens x d, rows of length 1 within 1e-3 (unit_normalized() makes them so; what they are off by is
/// divided out first, as nGPT's code does). alpha: how far to go, any number for which the step
/// is within the range of double; 0 stays, 1 arrives. nGPT's is the
/// absolute value of the learned parameter times init / scale. Returns n_tokens x d, rows of length 1. Throws
/// shape_error for different shapes, degenerate_input_error for an empty matrix, a row of another length, and a step
/// that ends within 1e-12 of the origin, where there is no direction; non_finite_error for NaN or infinity. Costs
/// O(n d).
template <embedding_matrix H, embedding_matrix Target>
row_matrix hypersphere_step(const H& h, const Target& target, double alpha) {
  const detail::row_reader<H> reader(h);
  return detail::hypersphere_step_by(
      reader, target, Eigen::VectorXd::Constant(reader.cols(), detail::finite_alpha(alpha, "hypersphere_step")));
}

/// hypersphere_step() with an alpha for each dimension, nGPT's eigen learning rates:
/// h' = Norm(h + alpha * (target - h)), the product of entries.
///
/// alpha: d values, an embedding matrix of one row or one column; otherwise a shape_error.
template <embedding_matrix H, embedding_matrix Target, embedding_matrix Alpha>
row_matrix hypersphere_step(const H& h, const Target& target, const Alpha& alpha) {
  const detail::row_reader<H> reader(h);
  detail::require_not_empty(reader, {.operand = "h"});
  return detail::hypersphere_step_by(reader, target, detail::read_weights(alpha, reader.cols(), "alpha"));
}

/// Spherical linear interpolation (Shoemake 1985), of which hypersphere_step() is the approximation (arXiv 2410.01131):
/// the point at alpha of the shortest arc from h to the target,
///
///     sin((1 - alpha) theta) / sin(theta) h + sin(alpha theta) / sin(theta) target,  theta the angle between them
///
/// h, target: n_tokens x d, rows of length 1 within 1e-3, as for hypersphere_step(). alpha: 0 gives h, 1 the target;
/// any finite number, beyond which the great circle goes on. Returns n_tokens x d, rows of length 1. Equal rows give
/// themselves. Throws degenerate_input_error for opposite rows (an angle within 1e-12 of pi), between which every arc
/// is as short; otherwise throws and costs as hypersphere_step().
template <embedding_matrix H, embedding_matrix Target>
row_matrix slerp(const H& h, const Target& target, double alpha) {
  detail::finite_alpha(alpha, "slerp");
  const detail::row_reader<H> reader(h);
  return detail::on_sphere(reader, target, [&](const double* from, const double* to, double* out, index i) {
    detail::turn_on_sphere(from, to, alpha, out, reader.cols(), i);
  });
}

}  // namespace layerwise::inline LAYERWISE_ABI
