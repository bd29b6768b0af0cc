// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/data/detail/row_pairs.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/kernel/row_sums.hpp>
#include <layerwise/kernel/scaled_sum.hpp>

#include <cmath>
#include <vector>

// What a layer adds to a token's row, and what it leaves there, as sums of squares.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// ||y - x||^2 and ||y||^2 of a token's rows x before and y after a layer. They add up over tokens without overflow.
struct row_contribution {
  scaled_sum update, output;

  void add(const row_contribution& other) {
    update.add(other.update);
    output.add(other.output);
  }

  /// ||y - x|| / ||y||. Throws degenerate_input_error, at the place given, if ||y|| is 0.
  double ratio(const place& at) const {
    if (output.mantissa == 0)
      fail<degenerate_input_error>("a layer output other than zero, to divide by", "zeros only", at);
    return root_of_ratio(update, output);
  }
};

/// With `sums` what sum_row told about y after x. Throws non_finite_error with the column, at the place given. Rows of
/// zeros are for the caller to judge.
inline row_contribution measure_contribution(const double* x, const double* y, const row_sums& sums, index d,
                                             const place& x_at, const place& y_at) {
  return {scaled_squared_distance(x, y, sums, d, x_at, y_at), scaled_squared_norm(y, sums.squares, d, y_at)};
}

/// The ratio, unless it is beyond the range of double: non_finite_error, at the place given.
inline double finite_ratio(const row_contribution& of, const place& at) {
  const double ratio = of.ratio(at);
  if (!std::isfinite(ratio)) fail<non_finite_error>("a ratio of norms within the range of double", text(ratio), at);
  return ratio;
}

/// Of every token.
template <embedding_matrix X, embedding_matrix Y>
std::vector<row_contribution> contributions(const X& before, const Y& after) {
  const row_reader<X> from(before);
  std::vector<row_contribution> tokens(static_cast<std::size_t>(from.rows()));
  for_each_row_pair(from, row_reader<Y>(after), [&](const row_pair& p) {
    at(tokens, p.token) = measure_contribution(p.before, p.after, p.sums, p.d, {.operand = "before", .row = p.token},
                                               {.operand = "after", .row = p.token});
  });
  return tokens;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
