// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/kernel/lanes.hpp>
#include <layerwise/kernel/scaled_sum.hpp>
#include <layerwise/kernel/scaling.hpp>

#include <Eigen/Core>

#include <cmath>
#include <utility>

// What one walk over a token's row tells: its squared norm, and the squared distance from the row before it.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// What one walk over a row y tells.
struct row_sums {
  double squares = 0;  ///< ||y||^2
  double step = 0;     ///< ||y - x||^2, x being the row before it; 0 if there is none
};

/// Sums up the row y, after the row x unless null, and leaves it in `out` as double, unless null; `out` may be y.
/// Prefetches the row `next` unless null. The order of the additions depends on d alone.
template <class Scalar>
[[gnu::flatten, gnu::noinline]] row_sums sum_row(const double* x, const Scalar* y, index d, double* out = nullptr,
                                                 const Scalar* next = nullptr) {
  lane_block squares = lane_block::Zero(), step = lane_block::Zero();
  index j = 0;
  for (; j + lanes <= d; j += lanes) {
    if (next != nullptr) prefetch(next + j);
    const lane_block to = load_lanes(y + j);
    if (out != nullptr) store_lanes(to, out + j);
    squares += to.square();
    if (x != nullptr) step += (to - lane_block::Map(x + j)).square();
  }
  if (j < d) {
    lane_block from = lane_block::Zero(), to = lane_block::Zero();
// GCC 12 for MinGW sees a 17th element written, where fewer than 16 are left.
#if defined(__MINGW32__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Warray-bounds"
#endif
    for (index k = 0; j + k < d; ++k) {
      to[k] = to_double(y[j + k]);
      if (out != nullptr) out[j + k] = to[k];
      if (x != nullptr) from[k] = x[j + k];
    }
#if defined(__MINGW32__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
    squares += to.square();
    if (x != nullptr) step += (to - from).square();
  }
  return {squares.sum(), step.sum()};
}

/// What sum_row says of x, to the bit: added up in another order than squared_norm() of a column.
inline double sum_of_squares(const double* x, index d) { return sum_row<double>(nullptr, x, d).squares; }

/// For rows whose squares leave the range of double, and for rows of zeros: ||x||^2 of a copy.
[[gnu::cold, gnu::noinline]] inline scaled_sum rescaled_squared_norm(Eigen::VectorXd row, const place& at) {
  const int exponent = rescale_row(row.data(), row.size(), at);
  scaled_sum sum;
  sum.add(sum_of_squares(row.data(), row.size()), 2 * exponent);
  return sum;
}

/// ||x||^2 of any finite row, with `sum` what sum_row told. Throws non_finite_error with the column, at the place
/// given.
inline scaled_sum scaled_squared_norm(const double* x, double sum, index d, const place& at) {
  return in_safe_range(sum) ? scaled_sum{sum, 0} : rescaled_squared_norm(Eigen::VectorXd::Map(x, d), at);
}

[[gnu::cold, gnu::noinline]] inline scaled_sum rescaled_squared_distance(const double* x, const double* y, index d,
                                                                         const place& x_at, const place& y_at) {
  fail_non_finite(x, d, x_at);
  fail_non_finite(y, d, y_at);
  Eigen::VectorXd difference(d);
  for (index j = 0; j < d; ++j) difference[j] = y[j] - x[j];
  if (!std::isnan(peak_of(difference.data(), d))) return rescaled_squared_norm(std::move(difference), y_at);
  // Halved only where the difference overflows: halving would lose the last bit of the smallest numbers.
  for (index j = 0; j < d; ++j) difference[j] = y[j] / 2 - x[j] / 2;
  scaled_sum sum = rescaled_squared_norm(std::move(difference), y_at);
  sum.exponent += 2;
  return sum;
}

/// ||y - x||^2 of any finite rows, with `sums` what sum_row told. Throws non_finite_error with the column, at the place
/// given.
inline scaled_sum scaled_squared_distance(const double* x, const double* y, const row_sums& sums, index d,
                                          const place& x_at, const place& y_at) {
  return in_safe_range(sums.step) ? scaled_sum{sums.step, 0} : rescaled_squared_distance(x, y, d, x_at, y_at);
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
