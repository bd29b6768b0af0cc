// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/lanes.hpp>
#include <layerwise/kernel/product.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/vectors.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <vector>

// Which rows are near, by products, which are 2.4 times as fast as distances (4096 x 256, Zen 4). Templates, because a
// unit that does not call them is not to pay.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Finds, for each row, those that may be among its k nearest ones: what ||x||^2 + ||y||^2 - 2 <x, y> says, which may
/// be off by e, so that rows nearer than others by less than that are all told, and their distances are for the caller
/// to take. Sums of d terms are off by d u (||x||^2 + ||y||^2) in all three parts, and so are distances taken of the
/// differences, by twice as much: e = 6 (d + 8) u (||x||^2 + ||y||^2), and what underflow takes. Where squares overflow
/// every row is told. The rows must live on.
template <std::same_as<row_block> Block>
class near_rows {
 public:
  near_rows(const Block& rows, index k)
      : rows_(rows), k_(k), squares_(rows.rows()), blocks_(static_cast<std::size_t>((rows.rows() + wide - 1) / wide)) {
    const index n = rows.rows();
    for (index i = 0; i < n; ++i) squares_[i] = squared_norm(rows.data() + i * rows.cols(), rows.cols());
    for (index j = 0; j < n; j += wide) pack_rows(j, (std::min)(wide, n - j), at(blocks_, j / wide));
  }

  const Block& rows() const { return rows_; }
  index k() const { return k_; }

  /// visit(i, j) for i = first ... first + count - 1 and every j other than i that may be one of its k nearest rows;
  /// for each i the js ascend.
  template <class Visit>
  void each(index first, index count, const Visit& visit) const {
    const double gamma = 6.0 * static_cast<double>(rows_.cols() + 8) * unit_roundoff;
    packed_block own;
    pack_rows(first, count, own);
    // Of each row the k least upper bounds of distances so far, ascending: no row beyond the last is wanted.
    matrix least = matrix::Constant(k_, count, HUGE_VAL);
    matrix lower(count, wide);
    for (index start = 0; start < rows_.rows(); start += wide) {
      const packed_block& others = at(blocks_, start / wide);
      const index width = others.cols();
      lower.setZero();
      add_products(1.0, {{own, others, lower.leftCols(width)}});
      for (index j = 0; j < width; ++j)
        for (index i = 0; i < count; ++i) {
          const double squares = squares_[first + i] + squares_[start + j];
          const double distance = squares - 2.0 * lower(i, j), error = gamma * squares + 0x1p-1000;
          lower(i, j) = distance - error;
          const double upper = distance + error;
          if (upper < least(k_ - 1, i) && std::isfinite(upper) && first + i != start + j)
            insert(upper, column(least, i));
        }
      for (index j = 0; j < width; ++j)
        for (index i = 0; i < count; ++i)
          if (!(lower(i, j) > least(k_ - 1, i)) && first + i != start + j) visit(first + i, start + j);
    }
  }

 private:
  static constexpr index wide = 768;

  void pack_rows(index first, index count, packed_block& out) const {
    pack(Eigen::Map<const matrix>(rows_.data() + first * rows_.cols(), rows_.cols(), count), out);
  }

  /// Among k ascending values, of which the last one goes.
  void insert(double value, double* values) const {
    index place = k_ - 1;
    for (; place > 0 && value < values[place - 1]; --place) values[place] = values[place - 1];
    values[place] = value;
  }

  const Block& rows_;
  index k_;
  Eigen::VectorXd squares_;
  std::vector<packed_block> blocks_;
};

/// Rows that are looked at together: their products with the others are of full speed, and fit a cache.
inline constexpr index rows_together = 96;

}  // namespace layerwise::inline LAYERWISE_ABI::detail
