// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

// A block of neighbouring entries of a row in vector registers, whatever their scalar type: loading, storing, sums.
namespace layerwise::inline LAYERWISE_ABI::detail {

template <class Scalar>
double to_double(const Scalar& x) {
  return static_cast<double>(x);
}
/// A bfloat16 is the upper half of a float. Written out, because GCC does not vectorize Eigen's conversion.
inline double to_double(const Eigen::bfloat16& x) {
  return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(x.value) << 16));
}

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
    *reinterpret_cast<target*>(to + k) = __builtin_convertvector(*reinterpret_cast<const source*>(from + k), target);
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
    _mm256_storeu_ps(&at(block, k), _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + k))));
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
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + k),
                     _mm256_cvtps_ph(_mm256_loadu_ps(&at(rounded, k)), _MM_FROUND_TO_NEAREST_INT));
}
#endif
#ifdef __GNUC__
/// The upper half of a float, rounded to nearest, ties to even; a NaN stays one. What Eigen does one by one, a quarter
/// as fast.
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

// What is written once for several neighbouring entries, an Eigen array, and for a single one, a double: what is left
// over of a row. Arrays of one entry would be a tenth of what including the library costs.
template <class Entries>
auto load(const double* from) {
  if constexpr (std::is_same_v<Entries, double>)
    return *from;
  else
    return Entries::Map(from);
}
template <class Entries>
Entries zero() {
  if constexpr (std::is_same_v<Entries, double>)
    return 0.0;
  else
    return Entries::Zero();
}
inline void store(double value, double* to) { *to = value; }
template <class Entries>
void store(const Eigen::ArrayBase<Entries>& values, double* to) {
  Entries::Map(to) = values;
}
inline void add_to(double* sum, double value) { *sum += value; }
template <class Entries>
void add_to(double* sum, const Eigen::ArrayBase<Entries>& values) {
  Entries::Map(sum) += values;
}
inline double square(double value) { return value * value; }  // of arrays Eigen has it

/// sum_j term(x_j, y_j, ...) over the n entries of the rows, in partial sums that stay in vector registers. The order of
/// the additions depends on n alone.
template <class Term, class... Rows>
double lane_sum(index n, const Term& term, const Rows*... rows) {
  lane_block sums = lane_block::Zero();
  double rest = 0;
  index j = 0;
  for (; j + lanes <= n; j += lanes) sums += term(lane_block::Map(rows + j)...);
  for (; j < n; ++j) rest += term(rows[j]...);
  return sums.sum() + rest;
}

/// sum x_j y_j, in the order of lane_sum: not that of dot().
inline double lane_dot(const double* x, const double* y, index d) {
  return lane_sum(d, [](const auto& a, const auto& b) { return a * b; }, x, y);
}

/// Fetches what will be read in a while from memory to the second-level cache. A hint, for speed alone.
inline void prefetch([[maybe_unused]] const void* address) {
#ifdef __GNUC__
  __builtin_prefetch(address, 0, 2);
#endif
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
