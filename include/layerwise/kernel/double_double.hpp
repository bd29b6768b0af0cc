// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>

#include <bit>
#include <cmath>
#include <cstdint>

// Sums and products with twice the digits of double, for the residuals of ill-conditioned regressions.
//   T. J. Dekker, A floating-point technique for extending the available precision, 1971 (the exact sum is Knuth's)
// Exact as long as nothing overflows or underflows, and the compiler keeps to IEEE arithmetic (which config.hpp
// and arithmetic.hpp see to).

// On x86 the compiler may use a fused multiply-add only if it is told so. Else std::fma is a call, and in
// MinGW's library not exact.
#if (defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)) && !defined(__FMA__) && \
    !defined(__FMA4__) && !defined(__AVX512F__) && !(defined(_MSC_VER) && defined(__AVX2__))
#define LAYERWISE_SPLIT_PRODUCTS
#endif

namespace layerwise::inline LAYERWISE_ABI::detail {

/// x rounded to its upper 26 bits; what is left of it has 26, too, with a sign. By integers: Veltkamp's way,
/// by a product with 2^27 + 1, overflows from 2^996 on.
inline double upper_half(double x) {
  constexpr std::uint64_t half = std::uint64_t{1} << 26;
  return std::bit_cast<double>((std::bit_cast<std::uint64_t>(x) + half) & ~(2 * half - 1));
}

/// x y - product, exactly, where `product` is x y rounded and the difference, if not 0, is at least 2^-1022.
/// Dekker's: products of halves are exact.
inline double split_product_error(double x, double y, double product) {
  const double x_high = upper_half(x), x_low = x - x_high;
  const double y_high = upper_half(y), y_low = y - y_high;
  return ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low;
}

/// The same, in one instruction where the processor has it.
inline double product_error(double x, double y, double product) {
#ifdef LAYERWISE_SPLIT_PRODUCTS
  return split_product_error(x, y, product);
#else
  return std::fma(x, y, -product);
#endif
}

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
    low += product_error(x, y, product);
  }

  double value() const { return high + low; }

  /// The same number with |low| at most half a unit in the last place of high, whichever was larger.
  double_double normalized() const {
    double_double sum{high};
    sum.add(low);
    return sum;
  }

  double_double operator-() const { return {-high, -low}; }
  double_double operator/(double n) const {
    const double quotient = high / n;
    double_double rest{high};
    rest.add_product(-quotient, n);
    return {quotient, (rest.value() + low) / n};
  }
};

/// Neighbouring columns that are summed together, in vector registers.
inline constexpr index accurate_lanes = 8;

/// Rows of accurate_lanes numbers high + low, one row every `stride`; `low` may be null.
struct accurate_columns {
  const double *high, *low;
  index stride;
};

/// (high, low)[c] += sum_k x[k * x_stride] * columns(k, c), c < accurate_lanes.
inline void add_products_accurately(index count, const double* x, index x_stride, const accurate_columns& columns,
                                    double* high, double* low) {
  const double *v = columns.high, *v_low = columns.low;
  const index v_stride = columns.stride;
  double sum[accurate_lanes], rest[accurate_lanes];
  for (index c = 0; c < accurate_lanes; ++c) sum[c] = high[c], rest[c] = low[c];
  for (index k = 0; k < count; ++k, x += x_stride, v += v_stride) {
    const double factor = *x;
// GCC 12 -O3 would unroll it to the end, and then no longer find the vectors: 3.8 times slower.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 1
#endif
    for (index c = 0; c < accurate_lanes; ++c) {
      const double product = factor * v[c], next = sum[c] + product, part = next - sum[c];
      rest[c] += ((sum[c] - (next - part)) + (product - part)) + product_error(factor, v[c], product);
      sum[c] = next;
    }
    if (v_low == nullptr) continue;
    for (index c = 0; c < accurate_lanes; ++c) rest[c] += factor * v_low[c];
    v_low += v_stride;
  }
  for (index c = 0; c < accurate_lanes; ++c) high[c] = sum[c], low[c] = rest[c];
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
