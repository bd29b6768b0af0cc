// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/kernel/scaling.hpp>

#include <cmath>

// Sums of squares, and ratios of them, right for every finite row: entries of 1e300 and of 1e-310 included.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// A sum of non-negative terms, mantissa * 2^exponent, which may lie far outside the range of double. The exponent
/// stays 0 while everything is in the safe range.
struct scaled_sum {
  double mantissa = 0;
  int exponent = 0;

  /// Adds term * 2^power.
  void add(double term, int power = 0) {
    if (power == exponent && in_safe_range(term) && mantissa + term < largest_safe_sum) {
      mantissa += term;
      return;
    }
    int term_exponent = 0;
    term = std::frexp(term, &term_exponent);
    if (term == 0) return;
    term_exponent += power;
    if (mantissa == 0 || term_exponent > exponent) {
      mantissa = std::scalbn(mantissa, exponent - term_exponent);
      exponent = term_exponent;
    }
    mantissa += std::scalbn(term, term_exponent - exponent);
  }
  void add(const scaled_sum& other) { add(other.mantissa, other.exponent); }
};

/// sqrt(a / b), without forming either sum as a double.
inline double root_of_ratio(const scaled_sum& a, const scaled_sum& b) {
  const int power = a.exponent - b.exponent;
  const int odd = power % 2;
  return std::scalbn(std::sqrt(std::scalbn(a.mantissa / b.mantissa, odd)), (power - odd) / 2);
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
