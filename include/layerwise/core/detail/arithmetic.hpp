// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>

#include <Eigen/Core>

#include <limits>
#include <string>

namespace layerwise::every_unit {

/// The alignments with which Eigen was compiled into the units of this program or library. In a namespace
/// without flags: it is one and the same for all.
#ifdef __ELF__
[[gnu::visibility("hidden")]]
#endif
inline unsigned alignments = 0;

}  // namespace layerwise::every_unit

namespace layerwise::inline LAYERWISE_ABI::detail {

/// Those of this unit, each a power of two or 0, and whether malloc's is enough, as bits.
inline constexpr unsigned alignment = EIGEN_MAX_ALIGN_BYTES + (unsigned{EIGEN_MAX_STATIC_ALIGN_BYTES} << 10) +
                                      (unsigned{EIGEN_DEFAULT_ALIGN_BYTES} << 20) +
                                      (EIGEN_MALLOC_ALREADY_ALIGNED ? 1u << 31 : 1u << 30) +
                                      (EIGEN_MAX_ALIGN_BYTES == 0) + (EIGEN_MAX_STATIC_ALIGN_BYTES == 0) * 2;
inline const unsigned alignments_so_far = every_unit::alignments |= alignment;

[[noreturn]] inline void fail_alignment() {
  fail<unsupported_error>(
      "units of one program with one alignment of Eigen's objects",
      "one aligned to " + std::to_string(EIGEN_DEFAULT_ALIGN_BYTES) +
          " bytes beside others, compiled for another processor (compile all with -DEIGEN_MAX_ALIGN_BYTES=64 "
          "-DEIGEN_MAX_STATIC_ALIGN_BYTES=64, or with the same -m flags: the linker gives one's code for Eigen's "
          "objects to the other)",
      {.operand = "compiler flags"});
}

/// Throws unsupported_error where units of the program do not fit together, and where the compiler was
/// allowed to take away what checks and error bounds rest on. GCC says so in macros, which config.hpp looks
/// at; clang has flags (-funsafe-math-optimizations, -freciprocal-math, -fno-honor-nans ...) that only show
/// in what they do. Called once a matrix, 2 ns each. Inlined always, so that it is compiled with the flags of
/// the function that calls it.
#ifdef __GNUC__
[[gnu::always_inline]]
#endif
inline void require_ieee_arithmetic() {
  if (every_unit::alignments != alignment) fail_alignment();
  // Volatile: what the compiler cannot see it cannot compute beforehand, and so right.
  const volatile double one = 1, small_one = 0x1p-60, five = 5;
  const volatile double not_a_number = std::numeric_limits<double>::quiet_NaN(),
                        infinite = std::numeric_limits<double>::infinity();
  // The error of a sum, as in double_double.hpp, is 0 to a compiler that reorders additions; and it is
  // another one where the processor does not round to nearest.
  const double a = one, b = small_one, sum = a + b, part = sum - a;
  const double lost = (a - (sum - part)) + (b - part);
  const double nan = not_a_number, infinity = infinite;
  if (lost == 0x1p-60 && five / 3.0 == 5.0 / 3.0 && nan != nan && !(infinity <= (std::numeric_limits<double>::max)()))
    return;
  fail<unsupported_error>(
      "IEEE arithmetic, rounded to nearest",
      "a unit compiled with -funsafe-math-optimizations, -fassociative-math, -freciprocal-math, -fno-honor-nans or the "
      "like (add -fno-fast-math after them), or a thread that rounds otherwise (see std::fesetround)",
      {.operand = "compiler flags"});
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
