// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/error.hpp>

#include <limits>

namespace layerwise::inline LAYERWISE_ABI::detail {

/// Throws unsupported_error where the compiler was allowed to take away what checks and error bounds rest on.
/// GCC says so in macros, which config.hpp looks at; clang has flags (-funsafe-math-optimizations,
/// -freciprocal-math, -fno-honor-nans ...) that only show in what they do. Called once a matrix, 2 ns each.
/// Inlined always, so that it is compiled with the flags of the function that calls it.
#ifdef __GNUC__
[[gnu::always_inline]]
#endif
inline void
require_ieee_arithmetic() {
  // Volatile: what the compiler cannot see it cannot compute beforehand, and so right.
  const volatile double one = 1, small_one = 0x1p-60, five = 5;
  const volatile double not_a_number = std::numeric_limits<double>::quiet_NaN(),
                        infinite = std::numeric_limits<double>::infinity();
  // The error of a sum, as in double_double.hpp, is 0 to a compiler that reorders additions; and it is
  // another one where the processor does not round to nearest.
  const double a = one, b = small_one, sum = a + b, part = sum - a;
  const double lost = (a - (sum - part)) + (b - part);
  const double nan = not_a_number, infinity = infinite;
  if (lost == 0x1p-60 && five / 3.0 == 5.0 / 3.0 && nan != nan &&
      !(infinity <= (std::numeric_limits<double>::max)()))
    return;
  fail<unsupported_error>(
      "IEEE arithmetic, rounded to nearest",
      "a unit compiled with -funsafe-math-optimizations, -fassociative-math, -freciprocal-math, "
      "-fno-honor-nans "
      "or the like (add -fno-fast-math after them), or a thread that rounds otherwise (see std::fesetround)",
      {.operand = "compiler flags"});
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
