// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/data/detail/row_pairs.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/kernel/double_double.hpp>
#include <layerwise/kernel/lanes.hpp>
#include <layerwise/kernel/row_sums.hpp>
#include <layerwise/kernel/scaling.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <numbers>

// The angle between a token's rows before and after a layer, of which cosine, angular distance and displacement are
// made.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// The angle theta between two rows u and v, kept in the form that loses nothing near 0 and near pi: the squared
/// distance of the unit vectors u^ and v^, or of u^ and -v^, whichever is the shorter.
struct row_angle {
  /// ||u^ - v^||^2 = 4 sin^2(theta/2) if acute, else ||u^ + v^||^2 = 4 cos^2(theta/2); in [0, 2]
  double chord;
  bool acute;  ///< theta <= pi/2

  /// sin^2(theta/2), in [0, 1]
  double displacement() const { return acute ? chord / 4 : 1 - chord / 4; }
  /// in [-1, 1]
  double cosine() const { return acute ? 1 - chord / 2 : chord / 2 - 1; }
  /// theta, in [0, pi]
  double radians() const {
    const double smaller = 2 * std::atan2(std::sqrt(chord), std::sqrt(4 - chord));
    return acute ? smaller : std::numbers::pi - smaller;
  }
  /// theta / pi, in [0, 1]
  double angular_distance() const { return radians() / std::numbers::pi; }
};

/// rescale_row(), for rows that must have a direction: throws degenerate_input_error for a row of zeros.
[[gnu::cold]] inline int rescale_direction(double* x, index d, const place& at) {
  const int exponent = rescale_row(x, d, at);
  if (std::all_of(x, x + d, [](double entry) { return entry == 0; }))
    fail<degenerate_input_error>("a row other than zero, where an angle is asked for", "a row of zeros", at);
  return exponent;
}

/// A row, its sum of squares, and where to say that it is at fault.
struct measured_row {
  const double* values;
  double squares;
  place at;
};

/// ||u - factor * v||^2, of differences taken with twice the digits: exact where lane_sum, which rounds the product
/// first, is left with rounding errors.
[[gnu::cold, gnu::noinline]] inline double accurate_squared_distance(const double* u, double factor, const double* v,
                                                                     index d) {
  double sum = 0;
  for (index j = 0; j < d; ++j) {
    double_double difference{u[j]};
    difference.add_product(-factor, v[j]);
    sum += difference.value() * difference.value();
  }
  return sum;
}

/// The angle from one more look at the rows: ||u^ - v^|| as ||u - (||u||/||v||) v|| / ||u||.
[[gnu::cold, gnu::noinline]] inline row_angle measure_scaled_angle(const measured_row& first,
                                                                   const measured_row& second, index d) {
  const double *const u = first.values, *const v = second.values;
  const bool acute = lane_dot(u, v, d) >= 0;
  const double uu = first.squares, length = std::sqrt(uu / second.squares);
  const double factor = acute ? length : -length;
  double distance = lane_sum(d, [=](const auto& a, const auto& b) { return square(a - factor * b); }, u, v);
  if (distance < 1e-6 * uu && distance > 0) distance = accurate_squared_distance(u, factor, v, d);
  return {(std::min)(distance / uu, 2.), acute};
}

row_angle measure_rescaled_angle(const measured_row& u, const measured_row& v, index d);

/// The angle between u and v, with `step` = ||v - u||^2: all three sums as sum_row told.
///
/// ||u^ - v^||^2 ||u|| ||v|| = ||v - u||^2 - (||v|| - ||u||)^2, exactly 0 for equal rows. Where too much of that
/// cancels, because lengths differ much more than directions or the angle is wide, the rows are measured again. The
/// error of the angle is a few units of 1e-16, its relative error at most about 1e-13, and another (1e-16 / angle)^2
/// for rows of different lengths. Throws degenerate_input_error for a row of zeros and non_finite_error with the
/// column, at the place given.
inline row_angle measure_angle(const measured_row& u, const measured_row& v, double step, index d) {
  const double uu = u.squares, vv = v.squares;
  if (!in_safe_range(uu) || !in_safe_range(vv)) return measure_rescaled_angle(u, v, d);
  const double u_norm = std::sqrt(uu), v_norm = std::sqrt(vv), product = u_norm * v_norm;
  const double growth = (vv - uu) / (u_norm + v_norm);
  const double chord = (step - growth * growth) / product, opposite = 4 - chord;
  const double rounded = step + 2 * std::abs(vv - uu);  // what the chord's error is proportional to
  if (!(rounded <= product * (std::min)({4., 256 * chord, 4 * opposite}))) return measure_scaled_angle(u, v, d);
  return chord <= 2 ? row_angle{chord, true} : row_angle{opposite, false};
}

/// For rows whose squares leave the range of double: the same on copies, each divided by its own power of two.
[[gnu::cold, gnu::noinline]] inline row_angle measure_rescaled_angle(const measured_row& u, const measured_row& v,
                                                                     index d) {
  Eigen::VectorXd x = Eigen::VectorXd::Map(u.values, d), y = Eigen::VectorXd::Map(v.values, d);
  rescale_direction(x.data(), d, u.at);
  rescale_direction(y.data(), d, v.at);
  const row_sums of_y = sum_row(x.data(), y.data(), d);
  return measure_angle({x.data(), sum_of_squares(x.data(), d), u.at}, {y.data(), of_y.squares, v.at}, of_y.step, d);
}

/// The same of rows whose distance is not known yet.
inline row_angle measure_angle(const measured_row& u, const measured_row& v, index d) {
  return measure_angle(u, v, sum_row(u.values, v.values, d).step, d);
}

/// One of the quantities of row_angle, of every token.
template <double (row_angle::*quantity)() const, embedding_matrix X, embedding_matrix Y>
Eigen::VectorXd angles_per_token(const X& before, const Y& after) {
  const row_reader<X> from(before);
  Eigen::VectorXd result(from.rows());
  for_each_row_pair(from, row_reader<Y>(after), [&](const row_pair& p) {
    const row_angle angle =
        measure_angle({p.before, p.before_squares, {.operand = "before", .row = p.token}},
                      {p.after, p.sums.squares, {.operand = "after", .row = p.token}}, p.sums.step, p.d);
    result[p.token] = (angle.*quantity)();
  });
  return result;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
