// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/kernel/cholesky.hpp>
#include <layerwise/kernel/indices.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/product.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/vectors.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <utility>

// Householder QR of the leading columns of a matrix; the columns that follow, right-hand sides, are multiplied by Q^T
// on the way. Golub & Van Loan, Matrix Computations, 5.2 and 5.4.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// The reflection H = I - tau v v^T, v_0 = 1, that maps a column of n elements to a multiple of the first
/// unit vector.
class reflection {
 public:
  /// Replaces the column by what H makes of it, with the rest of v in place of the zeros.
  reflection(double* column, index n) : v_(column + 1), below_(n - 1) {
    const double first = column[0], energy = first * first + squared_norm(v_, below_);
    if (!(energy > negligible_sum)) {
      // Any reflection will do. One of a norm that has lost digits to underflow is none: of equal columns each
      // leaves 1e-16 of what the one before it left, so ten are enough for that.
      std::fill_n(column, n, 0.0);
      return;
    }
    const double norm = std::sqrt(energy);
    column[0] = -std::copysign(norm, first);
    tau_ = (column[0] - first) / column[0];
    for (index i = 0; i < below_; ++i) column[i + 1] /= first - column[0];
  }

  /// column -> H column
  void apply(double* column) const {
    const double along = tau_ * (column[0] + dot(v_, column + 1, below_));
    column[0] -= along;
    add_multiple(-along, v_, column + 1, below_);
  }

 private:
  const double* v_;
  index below_;
  double tau_ = 2.0;
};

/// Reflections side by side, H_k ... H_1 = I - V L^-1 V^T with L the lower triangle of V^T V, its diagonal
/// halved (the UT transform: Joffrain et al., ACM TOMS 32, 2006). They reach a matrix as two products.
class reflection_panel {
 public:
  static constexpr index columns = elimination_columns;

  /// Those that `reflection` left in m from (row, row) on, count of them.
  reflection_panel(const matrix& m, index row, index count) {
    matrix v = m.block(row, row, m.rows() - row, count);
    for (index k = 0; k < count; ++k) {
      for (index i = 0; i < k; ++i) v(i, k) = 0.0;
      v(k, k) = 1.0;
    }
    pack(v, v_);
    pack_transposed(v, transposed_);
    l_.setZero(count, count);
    add_products(1.0, {{v_, v_, l_, true, rows_at_once}});
    for (index k = 0; k < count; ++k) l_(k, k) *= 0.5;
  }

  /// m -> H_k ... H_1 m
  void apply(Eigen::Ref<matrix> m) const {
    packed_block packed;
    pack(m, packed);
    matrix weights = matrix::Zero(l_.rows(), m.cols());
    add_products(1.0, {{v_, packed, weights, false, rows_at_once}});
    pack(weights, packed);
    elimination_block(l_).solve(packed);
    add_products(-1.0, {{transposed_, packed, m}});
  }

 private:
  // Dependent columns leave columns of rounding errors, whose reflections are as good as random: what they do to the
  // columns behind them must cancel, and does so to the rounding of these sums. Taken 64 rows at a time they leave a
  // twentieth of the noise (600 rows: 5e-16 instead of 1e-14 of the largest singular value).
  static constexpr index rows_at_once = 64;

  packed_block v_, transposed_;
  matrix l_;
};

/// Replaces the leading columns of m by the triangle R of their QR, with anything below it, and the columns
/// behind them by Q^T times themselves.
inline void reduce_to_triangle(matrix& m, index leading) {
  const index steps = (std::min)(m.rows(), leading);
  for (index first = 0; first < steps; first += reflection_panel::columns) {
    const index next = (std::min)(first + reflection_panel::columns, steps);
    for (index k = first; k < next; ++k) {
      const reflection h(&m(k, k), m.rows() - k);
      for (index j = k + 1; j < next; ++j) h.apply(&m(k, j));
    }
    if (next < m.cols())
      reflection_panel(m, first, next - first).apply(m.block(first, next, m.rows() - first, m.cols() - next));
  }
}

/// QR with column pivoting: the column of which most is left is always the next, until none is left above
/// `cutoff` times the first, or there are `limit` of them.
struct pivoted_qr {
  matrix r;       ///< its first `rank` rows: R, for the columns in order, with anything below the diagonal
  indices order;  ///< of the columns
  index rank = 0;

  pivoted_qr(matrix m, index limit, double cutoff) : r(std::move(m)), order(first_indices(r.cols())) {
    const index d = r.cols();
    Eigen::VectorXd left = column_energies(r);
    double smallest = 0.0;
    for (limit = (std::min)({limit, d, r.rows()}); rank < limit; ++rank) {
      const index pivot = std::max_element(&left[rank], left.data() + d) - left.data();
      if (rank == 0) smallest = cutoff * cutoff * left[pivot];
      if (!(left[pivot] > smallest)) break;
      std::swap(order[rank], order[pivot]);
      std::swap(left[rank], left[pivot]);
      std::swap_ranges(&r(0, rank), &r(0, rank) + r.rows(), &r(0, pivot));
      const reflection h(&r(rank, rank), r.rows() - rank);
      parallel_chunks(d - rank - 1, 32, [&](index first, index count) {
        for (index j = rank + 1 + first; j < rank + 1 + first + count; ++j) {
          h.apply(&r(rank, j));
          // Summed anew while the column is at hand: updated norms drift.
          left[j] = squared_norm(&r(rank, j) + 1, r.rows() - rank - 1);
        }
      });
    }
  }

  /// How many columns were pivots above `cutoff` times the first, of the first `most`; one at least.
  index rank_above(double cutoff, index most) const {
    while (most > 1 && !(std::abs(r(most - 1, most - 1)) > cutoff * std::abs(r(0, 0)))) --most;
    return most;
  }

  /// The energies that the first `kept` columns leave of the others, in order.
  Eigen::VectorXd left_below(index kept) const {
    Eigen::VectorXd left(r.cols() - kept);
    for (index j = kept; j < r.cols(); ++j) {
      // Below the diagonal of the pivots there is anything.
      const index last = j < rank ? j + 1 : r.rows();
      left[j - kept] = squared_norm(&r(0, j) + kept, last - kept);
    }
    return left;
  }

  /// z -> Q^T z
  void apply(matrix& z) const {
    for (index first = 0; first < rank; first += reflection_panel::columns)
      reflection_panel(r, first, (std::min)(reflection_panel::columns, rank - first))
          .apply(z.bottomRows(z.rows() - first));
  }
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
