// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/detail/parallel.hpp>
#include <layerwise/embedding.hpp>
#include <layerwise/error.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <utility>

// What the metrics per token share: sums over a row, right for every finite row (entries of 1e300 and of
// 1e-310 included), and the walk over the rows of two matrices.
namespace layerwise::detail {

/// sum_j term(x_j, y_j, ...) over the n entries of the rows, in 16 partial sums that stay in vector
/// registers. `term` is written with Eigen's array operations. The order of the additions depends on n alone.
template <class Term, class... Rows>
double lane_sum(index n, const Term& term, const Rows*... rows) {
  constexpr int lanes = 16;
  Eigen::Array<double, lanes, 1> sums = Eigen::Array<double, lanes, 1>::Zero();
  double rest = 0;
  index j = 0;
  for (; j + lanes <= n; j += lanes) sums += term(Eigen::Array<double, lanes, 1>::Map(rows + j)...);
  for (; j < n; ++j) rest += term(Eigen::Array<double, 1, 1>::Map(rows + j)...).value();
  return sums.sum() + rest;
}

inline double sum_of_squares(const double* x, index d) {
  return lane_sum(
      d, [](const auto& a) { return a.square(); }, x);
}

inline double dot_product(const double* x, const double* y, index d) {
  return lane_sum(
      d, [](const auto& a, const auto& b) { return a * b; }, x, y);
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
  for (index j = 0; j < d; ++j) largest = std::max(largest, std::abs(x[j]));
  if (largest == 0) return 0;
  const int exponent = std::ilogb(largest);
  for (index j = 0; j < d; ++j) x[j] = std::scalbn(x[j], -exponent);
  return exponent;
}

/// A sum of non-negative terms, mantissa * 2^exponent, which may lie far outside the range of double.
struct scaled_sum {
  double mantissa = 0;
  int exponent = 0;

  /// Adds term * 2^power.
  void add(double term, int power = 0) {
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

/// ||x||^2. Throws non_finite_error with the column, at the place given.
inline scaled_sum squared_norm(const double* x, index d, const place& at) {
  const double sum = sum_of_squares(x, d);
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

/// ||y - x||^2. Throws non_finite_error with the column, at the place given.
inline scaled_sum squared_distance(const double* x, const double* y, index d, const place& x_at,
                                   const place& y_at) {
  const double sum = lane_sum(
      d, [](const auto& a, const auto& b) { return (b - a).square(); }, x, y);
  return in_safe_range(sum) ? scaled_sum{sum, 0} : rescaled_squared_distance(x, y, d, x_at, y_at);
}

/// Reads two matrices of equal shape side by side and calls body(token, d, row before, row after) for every
/// token, in parallel over chunks of tokens.
template <embedding_matrix X, embedding_matrix Y, class Body>
void for_each_row_pair(const row_reader<X>& before, const row_reader<Y>& after, const Body& body) {
  require_equal_shape(shape_of(before), shape_of(after), {.operand = "after"});
  require_not_empty(before, {.operand = "before"});
  const index d = before.cols();
  parallel_chunks(before.rows(), 64, [&](index first, index count) {
    Eigen::VectorXd x(d), y(d);
    for (index token = first; token < first + count; ++token) {
      before.read(token, x.data());
      after.read(token, y.data());
      body(token, d, x.data(), y.data());
    }
  });
}

}  // namespace layerwise::detail
