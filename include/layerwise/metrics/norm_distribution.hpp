// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/double_double.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/row_sums.hpp>
#include <layerwise/kernel/scaled_sum.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/statistics/detail/accumulator.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <numeric>
#include <vector>

/// @file
/// How long the rows of a layer, or of a weight matrix, are.
namespace layerwise::inline LAYERWISE_ABI {

/// The Euclidean norms of rows, in the data's own units. Each number is within (d / 32 + 8) 1.2e-16 of the exact one,
/// relative to it; the standard deviation relative to root_mean_square.
struct norm_distribution_result {
  double mean = 0.0;
  double standard_deviation = 0.0;  ///< of the rows as they are: divided by n, not n - 1
  double root_mean_square = 0.0;    ///< its square is the mean of ||x||^2, which Pre-LN lets grow (arXiv 2002.04745)
  double minimum = 0.0;
  double median = 0.0;  ///< of an even number the mean of the two in the middle
  double maximum = 0.0;
  index tokens = 0;      ///< rows that took part
  index dimensions = 0;  ///< d
};

/// The fields of a distribution of norms.
template <>
inline constexpr auto fields<norm_distribution_result> =
    field_list(field{"mean", &norm_distribution_result::mean, "mean norm of a row"},
               field{"standard_deviation", &norm_distribution_result::standard_deviation, "of the norms"},
               field{"root_mean_square", &norm_distribution_result::root_mean_square, "root of the mean squared norm"},
               field{"minimum", &norm_distribution_result::minimum, "smallest norm"},
               field{"median", &norm_distribution_result::median, "norm in the middle"},
               field{"maximum", &norm_distribution_result::maximum, "largest norm"},
               field{"tokens", &norm_distribution_result::tokens, "that took part"},
               field{"dimensions", &norm_distribution_result::dimensions, "columns of X"});

namespace detail {

/// Of rows first ... first + count - 1, to out.
template <std::same_as<row_source> Source>
void measure_norms(const Source& rows, index first, index count, row_block& block, double* out) {
  const index d = block.cols();
  rows.read(0, first, count, block.data(), d);
  for (index i = 0; i < count; ++i) {
    const double* x = block.data() + i * d;
    const place here = rows.place_of(0, first + i);
    const double squares = sum_of_squares(x, d);
    const scaled_sum sum = in_safe_range(squares) ? scaled_sum{squares, 0} : scaled_squared_norm(x, squares, d, here);
    const int odd = sum.exponent % 2;
    out[i] = std::scalbn(std::sqrt(std::scalbn(sum.mantissa, odd)), (sum.exponent - odd) / 2);
    if (!std::isfinite(out[i])) fail<non_finite_error>("a norm within the range of double", text(out[i]), here);
  }
}

template <std::same_as<row_source> Source>
Eigen::VectorXd norms_of(const Source& rows, index d) {
  require_tokens(rows.size(), {.operand = "X"});
  Eigen::VectorXd norms(rows.size());
  parallel_chunks(rows.size(), 64, [&](index first, index count) {
    constexpr index some = 16;
    row_block block(some, d);
    for (index i = first; i < first + count; i += some)
      measure_norms(rows, i, (std::min)(some, first + count - i), block, &norms[i]);
  });
  return norms;
}

/// Of finite values >= 0, which it reorders. Sums are of values scaled to at most 1, so that no square is lost.
template <std::same_as<Eigen::VectorXd> Norms>
norm_distribution_result distribution_of(Norms norms) {
  const index n = norms.size();
  const double count = static_cast<double>(n);
  double *const begin = norms.data(), *const end = begin + n, *const middle = begin + n / 2;
  norm_distribution_result out;
  out.tokens = n;
  out.maximum = *std::max_element(begin, end);
  const int power = out.maximum > 0.0 ? std::ilogb(out.maximum) : 0;
  double_double sum, squares, deviations;
  for (const double* x = begin; x != end; ++x) {
    const double scaled = std::scalbn(*x, -power);
    sum.add(scaled);
    squares.add_product(scaled, scaled);
  }
  const double mean = sum.value() / count;
  for (const double* x = begin; x != end; ++x) {
    const double deviation = std::scalbn(*x, -power) - mean;
    deviations.add_product(deviation, deviation);
  }
  out.mean = std::scalbn(mean, power);
  out.root_mean_square = std::scalbn(std::sqrt(squares.value() / count), power);
  out.standard_deviation = std::scalbn(std::sqrt(deviations.value() / count), power);
  out.minimum = *std::min_element(begin, end);
  std::nth_element(begin, middle, end);
  out.median = n % 2 == 1 ? *middle : std::midpoint(*middle, *std::max_element(begin, middle));
  return out;
}

}  // namespace detail

/// ||x_i|| of every row that takes part, in order: those of embeddings sorted are the left panel of nGPT's figure 4
/// (arXiv 2410.01131).
///
/// x: n_tokens x d, of any scalar type and layout, a layer or a matrix of weights; mask: the rows that take part. A row
/// of zeros has norm 0. Throws degenerate_input_error for an empty matrix or a mask that keeps nothing, non_finite_error
/// for NaN and infinity, and for a norm beyond the range of double. Costs one pass.
template <embedding_matrix X>
Eigen::VectorXd row_norms(const X& x, const token_mask& mask = {}) {
  const detail::row_reader rows(x);
  detail::require_not_empty(rows, {.operand = "X"});
  const std::vector<index> tokens = mask.rows(rows.rows());
  return detail::norms_of(detail::layer_source(rows, tokens), rows.cols());
}

/// Mean, spread, extremes and median of row_norms(x, mask). Throws as it does. Costs one pass, and a double a row.
template <embedding_matrix X>
norm_distribution_result norm_distribution(const X& x, const token_mask& mask = {}) {
  const detail::row_reader rows(x);
  norm_distribution_result out = detail::distribution_of(row_norms(x, mask));
  out.dimensions = rows.cols();
  return out;
}

}  // namespace layerwise::inline LAYERWISE_ABI
