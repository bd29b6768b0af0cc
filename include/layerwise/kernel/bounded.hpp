// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/kernel/scaling.hpp>

#include <algorithm>
#include <cmath>

namespace layerwise::inline LAYERWISE_ABI::detail {

/// A computed value, and how far it is at most from the exact one: what is made of such values is bounded, too, its
/// own rounding included.
struct bounded {
  double value = 0.0;
  double error = 0.0;  ///< >= 0; infinite where nothing is known

 private:
  /// With the rounding of the value, and of the few operations that its error took.
  static bounded rounded(double value, double error) {
    error = error * (1.0 + 16.0 * unit_roundoff) + unit_roundoff * std::abs(value);
    return {value, std::isnan(error) ? HUGE_VAL : error};
  }

  friend bounded operator+(const bounded& a, const bounded& b) { return rounded(a.value + b.value, a.error + b.error); }
  friend bounded operator-(const bounded& a, const bounded& b) { return rounded(a.value - b.value, a.error + b.error); }
  /// |sqrt a - sqrt A| <= da / sqrt a
  friend bounded sqrt(const bounded& a) {
    const double root = std::sqrt((std::max)(a.value, 0.0));
    return rounded(root, root > 0.0 ? a.error / root : HUGE_VAL);
  }
  /// |ab - AB| <= |a| db + |b| da + da db
  friend bounded operator*(const bounded& a, const bounded& b) {
    return rounded(a.value * b.value, std::abs(a.value) * b.error + std::abs(b.value) * a.error + a.error * b.error);
  }
  /// |a/b - A/B| <= (da + |a/b| db) / (|b| - db)
  friend bounded operator/(const bounded& a, const bounded& b) {
    const double quotient = a.value / b.value, left = std::abs(b.value) - b.error;
    return rounded(quotient, left > 0.0 ? (a.error + std::abs(quotient) * b.error) / left : HUGE_VAL);
  }
};

/// Of a value that is within [least, most]; what is known of it is at least that.
inline bounded kept_within(bounded x, double least, double most) {
  const double value = x.value >= least ? (std::min)(x.value, most) : least;
  return {value, (std::min)(x.error, (std::max)(value - least, most - value))};
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
