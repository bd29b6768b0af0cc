// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/error.hpp>

#include <cmath>

// Sums and products with twice the digits of double, for the residuals of ill-conditioned regressions.
//   T. J. Dekker, A floating-point technique for extending the available precision, 1971 (the exact sum is
//   Knuth's)
// Exact as long as nothing overflows or underflows, and the compiler keeps to IEEE arithmetic (no
// -ffast-math).
namespace layerwise::inline LAYERWISE_ABI::detail {

/// The unevaluated sum high + low, about 106 bits.
struct double_double {
  double high = 0.0, low = 0.0;

  void add(double x) {
    const double sum = high + x, part = sum - high;
    low += (high - (sum - part)) + (x - part);
    high = sum;
  }
  void add(const double_double& x) {
    add(x.high);
    low += x.low;
  }
  void add_product(double x, double y) {
    const double product = x * y;
    add(product);
    low += std::fma(x, y, -product);
  }

  double value() const { return high + low; }

  /// The same number with |low| at most half a unit in the last place of high, whichever was larger.
  double_double normalized() const {
    double_double sum{high};
    sum.add(low);
    return sum;
  }

  double_double operator/(double n) const {
    const double quotient = high / n;
    return {quotient, (std::fma(-quotient, n, high) + low) / n};
  }
};

/// Neighbouring columns that are summed together, in vector registers.
inline constexpr index accurate_lanes = 8;

/// (high, low)[c] += sum_k x[k * x_stride] * (v[k * v_stride + c] + v_low[...]), c < accurate_lanes; v_low
/// may be null.
inline void add_products_accurately(index count, const double* x, index x_stride, const double* v,
                                    const double* v_low, index v_stride, double* high, double* low) {
  double sum[accurate_lanes], rest[accurate_lanes];
  for (index c = 0; c < accurate_lanes; ++c) sum[c] = high[c], rest[c] = low[c];
  for (index k = 0; k < count; ++k, x += x_stride, v += v_stride) {
    const double factor = *x;
    for (index c = 0; c < accurate_lanes; ++c) {
      const double product = factor * v[c], next = sum[c] + product, part = next - sum[c];
      rest[c] += ((sum[c] - (next - part)) + (product - part)) + std::fma(factor, v[c], -product);
      sum[c] = next;
    }
    if (v_low == nullptr) continue;
    for (index c = 0; c < accurate_lanes; ++c) rest[c] += factor * v_low[c];
    v_low += v_stride;
  }
  for (index c = 0; c < accurate_lanes; ++c) high[c] = sum[c], low[c] = rest[c];
}

}  // namespace layerwise::detail
