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
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/metrics/detail/row_angle.hpp>
#include <layerwise/statistics/detail/accumulator.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <vector>

/// @file
/// The mean cosine of all pairs of tokens of a layer, and what each dimension contributes to it.
namespace layerwise::inline LAYERWISE_ABI {

/// The mean cosine of two different tokens.
struct pairwise_cosine_result {
  double mean = 0.0;         ///< in [-1/(n - 1), 1]
  double error_bound = 0.0;  ///< |mean - that of the given data, exactly| is at most this; each contribution's, too
  /// d; of each dimension to the mean, which is their sum. Mean products, which may be negative.
  Eigen::VectorXd contributions;
  index tokens = 0;      ///< that took part
  index dimensions = 0;  ///< d
};

/// The numbers of a mean cosine; the contributions, which are many, are not among them.
template <>
inline constexpr auto fields<pairwise_cosine_result> =
    field_list(field{"mean", &pairwise_cosine_result::mean, "mean cosine of two different tokens"},
               field{"error_bound", &pairwise_cosine_result::error_bound, "how far rounding can have moved the mean"},
               field{"tokens", &pairwise_cosine_result::tokens, "that took part"},
               field{"dimensions", &pairwise_cosine_result::dimensions, "columns of X"});

namespace detail {

/// Sums over tokens of the rows' unit vectors, and of their squares, column by column with twice the digits: of many
/// tokens of any direction next to nothing is left of the one beside the other.
class unit_row_sums {
 public:
  explicit unit_row_sums(index d) : sum_(zeros(d)), low_(zeros(d)), squares_(zeros(d)), squares_low_(zeros(d)) {}

  /// The rows in order, whatever the threads.
  template <std::same_as<row_block> Block>
  void add(const Block& rows, index count) {
    parallel_chunks(rows.cols(), 256, [&](index first, index width) {
      for (index i = 0; i < count; ++i) {
        const double* x = rows.data() + i * rows.cols();
        for (index k = first; k < first + width; ++k) {
          add_to(sum_[k], low_[k], x[k]);
          add_to(squares_[k], squares_low_[k], x[k] * x[k]);
        }
      }
    });
  }

  /// (m_k^2 - sum_i x_ik^2) / (n (n - 1)), and their sum over k.
  pairwise_cosine_result finish(index tokens) const {
    const double n = static_cast<double>(tokens), pairs = n * (n - 1.0);
    pairwise_cosine_result out;
    out.tokens = tokens, out.dimensions = sum_.size();
    out.contributions.resize(sum_.size());
    double_double total;
    for (index k = 0; k < sum_.size(); ++k) {
      const double_double m = double_double{sum_[k], low_[k]}.normalized();
      double_double products;
      products.add_product(m.high, m.high);
      products.add_product(2.0 * m.high, m.low);
      products.add(-squares_[k]);
      products.add(-squares_low_[k]);
      out.contributions[k] = products.value() / pairs;
      total.add(products);
    }
    out.mean = std::clamp(total.value() / pairs, -1.0 / (n - 1.0), 1.0);
    out.error_bound = rounding(static_cast<double>(sum_.size()));
    return out;
  }

 private:
  static Eigen::VectorXd zeros(index d) {
    Eigen::VectorXd out(d);
    std::fill(out.data(), out.data() + d, 0.0);
    return out;
  }

  static void add_to(double& high, double& low, double x) {
    double_double sum{high, low};
    sum.add(x);
    high = sum.high, low = sum.low;
  }

  /// An entry of a unit vector is off by half the rounding of a sum of squares in 16 lanes, a root and a quotient,
  /// relative to itself; a product by twice that, and the sum over k of |products| is at most 1. What is left is that of
  /// the squares, which is u / (n - 1), and of the quotient.
  static double rounding(double d) { return unit_roundoff * (2.0 * (d / 32.0 + 10.0) + 4.0); }

  Eigen::VectorXd sum_, low_, squares_, squares_low_;
};

/// x = x / ||x||. Throws at the place given, for a row of zeros, too.
inline void make_unit(double* x, index d, const place& at) {
  double squares = sum_of_squares(x, d);
  if (!in_safe_range(squares)) {
    rescale_direction(x, d, at);
    squares = sum_of_squares(x, d);
  }
  const double length = std::sqrt(squares);
  for (index k = 0; k < d; ++k) x[k] /= length;
}

template <std::same_as<row_source> Source>
pairwise_cosine_result pairwise_cosine_of(const Source& rows, index d) {
  const index n = rows.size(), most = 128;  // rows at a time
  require_tokens(n, {.operand = "X"});
  if (n < 2) fail<degenerate_input_error>("at least two tokens", text(n), {.operand = "X"});
  unit_row_sums sums(d);
  row_block block((std::min)(n, most), d);
  for (index first = 0; first < n; first += most) {
    const index count = (std::min)(most, n - first);
    parallel_chunks(count, 16, [&](index start, index some) {
      rows.read(0, first + start, some, &block(start, 0), d);
      for (index i = start; i < start + some; ++i) make_unit(&block(i, 0), d, rows.place_of(0, first + i));
    });
    sums.add(block, count);
  }
  return sums.finish(n);
}

}  // namespace detail

/// The mean of cos(x_i, x_j) over all pairs of different tokens, not centred, with what each dimension contributes:
///
///     mean = (||m||^2 - n) / (n (n - 1)),  m = sum_i x_i / ||x_i||
///     contribution of k = (m_k^2 - sum_i (x_ik / ||x_i||)^2) / (n (n - 1))
///
/// The anisotropy of Ethayarajh (arXiv 1909.00512), who draws 1000 pairs; of all pairs here. A dimension's share in the
/// mean is that of Timkey and van Schijndel (arXiv 2109.04404), where few dimensions make most of the cosines.
///
/// x: n_tokens x d, of any scalar type and layout; mask: the tokens that take part. Does not change under a rotation, nor
/// with the lengths of the rows; the mean of n equal directions is 1, of a simplex -1/(n - 1). Throws
/// degenerate_input_error for fewer than two tokens and, with the row, for a row of zeros, non_finite_error for NaN and
/// infinity. Costs one pass, O(n d), and memory of O(d).
template <embedding_matrix X>
pairwise_cosine_result pairwise_cosine_contributions(const X& x, const token_mask& mask = {}) {
  const detail::row_reader rows(x);
  detail::require_not_empty(rows, {.operand = "X"});
  const std::vector<index> tokens = mask.rows(rows.rows());
  return detail::pairwise_cosine_of(detail::layer_source(rows, tokens), rows.cols());
}

/// pairwise_cosine_contributions(x, mask).mean
template <embedding_matrix X>
double mean_pairwise_cosine(const X& x, const token_mask& mask = {}) {
  return pairwise_cosine_contributions(x, mask).mean;
}

}  // namespace layerwise::inline LAYERWISE_ABI
