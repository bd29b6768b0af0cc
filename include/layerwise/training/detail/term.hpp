// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/kernel/scaling.hpp>

#include <cmath>

// A regularizer's term: what it measures of a token's row in layer l after that in layer l - 1, and the gradients. A
// term holds the workspace of one thread, and has the functions
//
//   scaled_sum enter(l, before, here, sums, d, token)
//     the term of layer l; 0 where `before` is null. `sums` is what sum_row told of the two rows
//   bool gradient(l, rows, add)
//     calls add(g) with g(at) the gradient with respect to h_l, see add_to_row. False, and nothing is called, where the
//     next must be used. To be called when layer l + 1 has been entered
//   void careful_gradient(l, rows, d, out, at)
//     the same in out, for every finite row and scale. Throws non_finite_error, at the place given
namespace layerwise::inline LAYERWISE_ABI::detail {

/// A token's rows in layers l - 1, l and l + 1. Null: there is none, or it is not to pull at h_l.
struct neighbouring_rows {
  const double *before, *here, *after;
};

inline place hidden_state_place(index layer, index token) {
  return {.operand = "hidden_states", .layer = layer, .row = token};
}

/// What a sum of terms is multiplied by, mantissa * 2^exponent: lambda, or lambda over the number of tokens, without
/// the rounding of the smallest numbers.
struct term_scale {
  double mantissa = 0;
  int exponent = 0;

  double value() const { return std::scalbn(mantissa, exponent); }
  /// Whether products with factors that are safe, too, stay within the range of double.
  bool is_ordinary() const {
    const double size = std::abs(value());
    return size == 0 ? mantissa == 0 : size > least_safe_factor && size < largest_safe_factor;
  }
};

/// a * b * 2^power, an element of a gradient. Throws non_finite_error with the column, at the place given, where that
/// is beyond the range of double.
inline double gradient_element(double a, double b, int power, place at, index column) {
  int power_of_a = 0, power_of_b = 0;
  const double product = std::frexp(a, &power_of_a) * std::frexp(b, &power_of_b);
  const double element = std::scalbn(product, power + power_of_a + power_of_b);
  if (!std::isfinite(element)) {
    at.column = column;
    fail<non_finite_error>("a gradient within the range of double", text(element), at);
  }
  return element;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
