// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>

// Magnitudes: what is finite, what can be squared, multiplied or subtracted within the range of double, 2^-1022 to
// 2^1024, and the powers of two that bring the rest there.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// u: what rounding moves a result by at most, relative to it.
inline constexpr double unit_roundoff = std::numeric_limits<double>::epsilon() / 2.0;

/// Sums of squares: what underflow takes from a term, 1e-323, is nothing to them, and quotients of two are within
/// 1e280.
inline constexpr double least_safe_sum = 1e-140, largest_safe_sum = 1e140;

/// Sums of squares up to here count as 0: from those not far below underflow has taken digits.
inline constexpr double negligible_sum = 0x1p-900;

/// The largest element of a matrix: sums of squares, and products of two such sums, are far below the largest double.
/// Near 1 from below, so that what is 2^-500 of it still has a square.
inline constexpr double least_safe_peak = 0x1p-10, largest_safe_peak = 0x1p200;

/// Factors: products of two are within 1e300.
inline constexpr double least_safe_factor = 1e-150, largest_safe_factor = 1e150;

/// Factors of a score's gradient, for data whose safe_scale() is 1: what they are multiplied by there, 2/E and elements
/// of residuals and of A, does not take them out of the range of double.
inline constexpr double least_safe_gradient_factor = 1e-100, largest_safe_gradient_factor = 1e100;

/// Differences of what is up to here do not overflow.
inline constexpr double largest_to_subtract = 0x1p1022;

/// Throws non_finite_error with the place of the first NaN or infinity in a row that has one.
[[gnu::cold]] inline void fail_non_finite(const double* row, index cols, place at) {
  for (index j = 0; j < cols; ++j)
    if (!(std::abs(row[j]) <= (std::numeric_limits<double>::max)())) {
      at.column = j;
      fail<non_finite_error>("finite values", text(row[j]), at);
    }
}

/// 1 for a safe peak and for 0, else the power of two that brings it (finite) to 1..2. Multiplying by it is exact.
inline double safe_scale(double peak) {
  if (peak == 0.0 || (peak <= largest_safe_peak && peak >= least_safe_peak)) return 1.0;
  return std::ldexp(1.0, -std::clamp(std::ilogb(peak), -1000, 1000));
}

/// log2(a / b) for powers of two, whose ratio may be beyond the range of double.
inline int exponent_of_ratio(double a, double b) { return std::ilogb(a) - std::ilogb(b); }

/// The largest |element| of a row; NaN if one is NaN or infinite.
inline double peak_of(const double* row, index cols) {
  double peak = 0.0;
  bool finite = true;
  for (index j = 0; j < cols; ++j) {
    const double size = std::abs(row[j]);
    finite = finite && size <= (std::numeric_limits<double>::max)();
    peak = (std::max)(peak, size);
  }
  return finite ? peak : std::numeric_limits<double>::quiet_NaN();
}

/// Whether a sum of squares has lost nothing to overflow or underflow, and quotients of two such sums neither. False
/// for 0, infinity and NaN: whatever needs a closer look.
constexpr bool in_safe_range(double sum) { return sum > least_safe_sum && sum < largest_safe_sum; }

/// Divides the row by the power of two that leaves its largest entry in [1, 2), and returns the exponent. A row of
/// zeros stays as it is. Throws non_finite_error. For the rows whose sum of squares is not in the safe range.
[[gnu::cold, gnu::noinline]] inline int rescale_row(double* x, index d, const place& at) {
  fail_non_finite(x, d, at);
  double largest = 0;
  for (index j = 0; j < d; ++j) largest = (std::max)(largest, std::abs(x[j]));
  if (largest == 0) return 0;
  const int exponent = std::ilogb(largest);
  for (index j = 0; j < d; ++j) x[j] = std::scalbn(x[j], -exponent);
  return exponent;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
