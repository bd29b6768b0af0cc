// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/detail/parallel.hpp>
#include <layerwise/detail/row_reader.hpp>
#include <layerwise/error.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

// What the metrics per token share: sums over a row, right for every finite row (entries of 1e300 and of
// 1e-310 included), and the walk over the rows of two matrices.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Rows are walked in blocks of this many entries, which stay in vector registers.
constexpr index lanes = 16;
using lane_block = Eigen::Array<double, lanes, 1>;

/// Written with vector types because GCC vectorizes a loop of conversions only in some contexts.
template <class From, class To>
void convert_lanes(const From* from, To* to) {
#ifdef __GNUC__
  constexpr index size = (std::max<index>)(Eigen::internal::packet_traits<double>::size, 2);
  using source [[gnu::vector_size(size * sizeof(From)), gnu::aligned(alignof(From)), gnu::may_alias]] = From;
  using target [[gnu::vector_size(size * sizeof(To)), gnu::aligned(alignof(To)), gnu::may_alias]] = To;
  for (index k = 0; k < lanes; k += size)
    *reinterpret_cast<target*>(to + k) =
        __builtin_convertvector(*reinterpret_cast<const source*>(from + k), target);
#else
  for (index k = 0; k < lanes; ++k) to[k] = static_cast<To>(from[k]);
#endif
}

inline lane_block load_lanes(const double* from) { return lane_block::Map(from); }
inline lane_block load_lanes(const float* from) {
  lane_block block;
  convert_lanes(from, block.data());
  return block;
}
template <class Scalar>
lane_block load_lanes(const Scalar* from) {
  std::array<float, lanes> block;
  for (std::size_t k = 0; k < block.size(); ++k) block[k] = static_cast<float>(to_double(from[k]));
  return load_lanes(block.data());
}
#if defined(__F16C__) && defined(EIGEN_VECTORIZE_AVX)  // Eigen has included the intrinsics then
inline lane_block load_lanes(const Eigen::half* from) {
  std::array<float, lanes> block;
  for (index k = 0; k < lanes; k += 8)
    _mm256_storeu_ps(&block[static_cast<std::size_t>(k)],
                     _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + k))));
  return load_lanes(block.data());
}
#endif

inline void store_lanes(const lane_block& block, double* to) { lane_block::Map(to) = block; }
inline void store_lanes(const lane_block& block, float* to) { convert_lanes(block.data(), to); }
template <class Scalar>
void store_lanes(const lane_block& block, Scalar* to) {
  for (index k = 0; k < lanes; ++k) to[k] = static_cast<Scalar>(block[k]);
}
#if defined(__F16C__) && defined(EIGEN_VECTORIZE_AVX)
inline void store_lanes(const lane_block& block, Eigen::half* to) {
  std::array<float, lanes> rounded;
  store_lanes(block, rounded.data());
  for (index k = 0; k < lanes; k += 8)
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(to + k),
        _mm256_cvtps_ph(_mm256_loadu_ps(&rounded[static_cast<std::size_t>(k)]), _MM_FROUND_TO_NEAREST_INT));
}
#endif
#ifdef __GNUC__
/// The upper half of a float, rounded to nearest, ties to even; a NaN stays one. What Eigen does one by one,
/// a quarter as fast.
inline void store_lanes(const lane_block& block, Eigen::bfloat16* to) {
  using words [[gnu::vector_size(lanes * sizeof(std::uint32_t))]] = std::uint32_t;
  using halves [[gnu::vector_size(lanes * sizeof(std::uint16_t))]] = std::uint16_t;
  std::array<float, lanes> rounded;
  store_lanes(block, rounded.data());
  words bits;
  std::memcpy(&bits, rounded.data(), sizeof bits);
  const words nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const words nan = ((bits >> 16) & 0x8000u) | 0x7fc0u;
  const words is_nan = reinterpret_cast<words>((bits & 0x7fffffffu) > 0x7f800000u);
  const halves result = __builtin_convertvector((nan & is_nan) | (nearest & ~is_nan), halves);
  std::memcpy(static_cast<void*>(to), &result, sizeof result);
}
#endif

/// sum_j term(x_j, y_j, ...) over the n entries of the rows, in partial sums that stay in vector registers.
/// `term` is written with Eigen's array operations. The order of the additions depends on n alone.
template <class Term, class... Rows>
double lane_sum(index n, const Term& term, const Rows*... rows) {
  lane_block sums = lane_block::Zero();
  double rest = 0;
  index j = 0;
  for (; j + lanes <= n; j += lanes) sums += term(lane_block::Map(rows + j)...);
  for (; j < n; ++j) rest += term(Eigen::Array<double, 1, 1>::Map(rows + j)...).value();
  return sums.sum() + rest;
}

inline double dot_product(const double* x, const double* y, index d) {
  return lane_sum(
      d, [](const auto& a, const auto& b) { return a * b; }, x, y);
}

/// Fetches what will be read in a while from memory to the second-level cache. A hint, for speed alone.
inline void prefetch([[maybe_unused]] const void* address) {
#ifdef __GNUC__
  __builtin_prefetch(address, 0, 2);
#endif
}

/// What one walk over a row y tells.
struct row_sums {
  double squares = 0;  ///< ||y||^2
  double step = 0;     ///< ||y - x||^2, x being the row before it; 0 if there is none
};

/// Sums up the row y, after the row x unless null, and leaves it in `out` as double, unless null; `out` may
/// be y. Prefetches the row `next` unless null. The order of the additions depends on d alone.
template <class Scalar>
[[gnu::flatten, gnu::noinline]] row_sums sum_row(const double* x, const Scalar* y, index d,
                                                 double* out = nullptr, const Scalar* next = nullptr) {
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

inline double sum_of_squares(const double* x, index d) { return sum_row<double>(nullptr, x, d).squares; }

/// Reads a row to `out` and sums it up, after the row `before` unless that is null: in one walk, where its
/// elements lie next to each other in memory. `next` is the reader's row to prefetch.
template <class Reader>
row_sums read_row(const Reader& reader, index row, index next, const double* before, double* out) {
  if constexpr (requires { reader.with_type([](const auto&) {}); })
    return reader.with_type([&](const auto& typed) { return read_row(typed, row, next, before, out); });
  else if constexpr (requires { reader.contiguous(row); })
    if (const auto* from = reader.contiguous(row))
      return sum_row(before, from, reader.cols(), out, reader.contiguous(next));
  reader.read(row, out);
  return sum_row(before, out, reader.cols());
}

/// Whether a sum of squares has lost nothing to overflow or underflow, and quotients of two such sums
/// neither. False for 0, infinity and NaN: whatever needs a closer look.
constexpr bool in_safe_range(double sum) { return sum > 1e-140 && sum < 1e140; }

/// Divides the row by the power of two that leaves its largest entry in [1, 2), and returns the exponent. A
/// row of zeros stays as it is. Throws non_finite_error. For the rows whose sum of squares is not in the safe
/// range.
[[gnu::cold, gnu::noinline]] inline int rescale_row(double* x, index d, const place& at) {
  fail_non_finite(x, d, at);
  double largest = 0;
  for (index j = 0; j < d; ++j) largest = (std::max)(largest, std::abs(x[j]));
  if (largest == 0) return 0;
  const int exponent = std::ilogb(largest);
  for (index j = 0; j < d; ++j) x[j] = std::scalbn(x[j], -exponent);
  return exponent;
}

/// A sum of non-negative terms, mantissa * 2^exponent, which may lie far outside the range of double. The
/// exponent stays 0 while everything is in the safe range.
struct scaled_sum {
  double mantissa = 0;
  int exponent = 0;

  /// Adds term * 2^power.
  void add(double term, int power = 0) {
    if (power == exponent && in_safe_range(term) && mantissa + term < 1e140) {
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

  /// As a double: infinite, or 0, if it is outside the range.
  double value() const { return std::scalbn(mantissa, exponent); }
};

/// sqrt(a / b), without forming either sum as a double.
inline double root_of_ratio(const scaled_sum& a, const scaled_sum& b) {
  const int power = a.exponent - b.exponent;
  const int odd = power % 2;
  return std::scalbn(std::sqrt(std::scalbn(a.mantissa / b.mantissa, odd)), (power - odd) / 2);
}

/// For rows whose squares leave the range of double, and for rows of zeros: the sum of squares of a copy.
[[gnu::cold, gnu::noinline]] inline scaled_sum rescaled_sum_of_squares(Eigen::VectorXd row, const place& at) {
  const int exponent = rescale_row(row.data(), row.size(), at);
  scaled_sum sum;
  sum.add(sum_of_squares(row.data(), row.size()), 2 * exponent);
  return sum;
}

/// ||x||^2, with `sum` what sum_of_squares told. Throws non_finite_error with the column, at the place given.
inline scaled_sum squared_norm(const double* x, double sum, index d, const place& at) {
  return in_safe_range(sum) ? scaled_sum{sum, 0} : rescaled_sum_of_squares(Eigen::VectorXd::Map(x, d), at);
}

[[gnu::cold, gnu::noinline]] inline scaled_sum rescaled_squared_distance(const double* x, const double* y,
                                                                         index d, const place& x_at,
                                                                         const place& y_at) {
  fail_non_finite(x, d, x_at);
  fail_non_finite(y, d, y_at);
  const auto from = Eigen::VectorXd::Map(x, d), to = Eigen::VectorXd::Map(y, d);
  Eigen::VectorXd difference = to - from;
  if (difference.allFinite()) return rescaled_sum_of_squares(std::move(difference), y_at);
  // Halved only where the difference overflows: halving would lose the last bit of the smallest numbers.
  scaled_sum sum = rescaled_sum_of_squares(to / 2 - from / 2, y_at);
  sum.exponent += 2;
  return sum;
}

/// ||y - x||^2, with `sums` what sum_row told. Throws non_finite_error with the column, at the place given.
inline scaled_sum squared_distance(const double* x, const double* y, const row_sums& sums, index d,
                                   const place& x_at, const place& y_at) {
  return in_safe_range(sums.step) ? scaled_sum{sums.step, 0} : rescaled_squared_distance(x, y, d, x_at, y_at);
}

/// A token's rows before and after a layer.
struct row_pair {
  index token, d;
  const double *before, *after;
  double before_squares;
  row_sums sums;  ///< of `after`
};

/// Reads two matrices of equal shape side by side and calls body(row_pair) for every token, in parallel over
/// chunks of tokens.
template <embedding_matrix X, embedding_matrix Y, class Body>
void for_each_row_pair(const row_reader<X>& before, const row_reader<Y>& after, const Body& body) {
  require_equal_shape(shape_of(before), shape_of(after), {.operand = "after"});
  require_not_empty(before, {.operand = "before"});
  const index d = before.cols();
  parallel_chunks(before.rows(), 64, [&](index first, index count) {
    row_block rows(2,
                   d + lanes);  // not a multiple of 4096 bytes apart, which the processor takes for the same
    double *x = &rows(0, 0), *y = &rows(1, 0);
    for (index token = first; token < first + count; ++token) {
      const index next = (std::min)(token + 2, before.rows() - 1);
      const double squares = read_row(before, token, next, nullptr, x).squares;
      body(row_pair{token, d, x, y, squares, read_row(after, token, next, x, y)});
    }
  });
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
