// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/kernel/indices.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/product.hpp>
#include <layerwise/kernel/vectors.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <utility>

// Cholesky factorization G = L L^T and the two triangular solutions, for many right-hand sides: columns are
// split in two until elimination_columns are left, so that nearly all of it is add_products(), and most of
// that deep. Eigen's own run at half its rate for square problems. Nothing here calls a BLAS, whose threads
// would get in the way of those that solve the layers of a profile side by side.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Columns eliminated one by one: few enough that the triangular solutions, d^2 times this, stay small.
inline constexpr index elimination_columns = 72;

/// How many of so many columns are eliminated before the others: half, in whole blocks, and not more than
/// what add_products() takes in one go.
inline index first_part(index columns) {
  const index blocks = (columns + elimination_columns - 1) / elimination_columns;
  return (std::min<index>)((blocks + 1) / 2, 7) * elimination_columns;
}

/// Calls body(c) for every column of m, in parallel.
template <class Body>
void for_columns(const matrix& m, const Body& body) {
  parallel_chunks(m.cols(), 64, [&](index first, index count) {
    for (index c = first; c < first + count; ++c) body(c);
  });
}

/// A block of at most elimination_columns columns of L, from the diagonal on.
class elimination_block {
 public:
  /// Factorizes the block of g in place. False at a pivot that is not positive.
  static bool factorize(Eigen::Ref<matrix> g) {
    for (index j = 0; j < g.rows(); ++j) {
      if (!(g(j, j) > 0.0)) return false;
      g(j, j) = std::sqrt(g(j, j));
      for (index i = j + 1; i < g.rows(); ++i) g(i, j) /= g(j, j);
      for (index k = j + 1; k < g.rows(); ++k) add_multiple(-g(k, j), &g(k, j), &g(k, k), g.rows() - k);
    }
    return true;
  }

  explicit elimination_block(const Eigen::Ref<const matrix>& l) : upper_(l.transpose()), lower_(l) {}

  /// b -> L^-1 b
  void solve(packed_block& b) const {
    for_each_panel(b, [&](auto row) {
      for (index k = 0; k < size(); ++k) {
        panel_row x = row(k);
        for (index j = 0; j < k; ++j) x -= upper_(j, k) * row(j);
        row(k) = x / upper_(k, k);
      }
    });
  }

  /// b -> L^-T b
  void solve_transposed(packed_block& b) const {
    for_each_panel(b, [&](auto row) {
      for (index k = size(); k-- > 0;) {
        panel_row x = row(k);
        for (index j = k + 1; j < size(); ++j) x -= lower_(j, k) * row(j);
        row(k) = x / lower_(k, k);
      }
    });
  }

 private:
  using panel_row = Eigen::Array<double, packed_block::width, 1>;

  index size() const { return upper_.rows(); }

  /// Calls body(row) for every panel of b, row(k) its row k: a panel stays in the nearest cache, and what is
  /// summed up in registers.
  template <class Body>
  void for_each_panel(packed_block& b, const Body& body) const {
    parallel_chunks(b.padded_cols(), packed_block::width, [&](index first, index) {
      double* const panel = b.at(first);
      const index stride = b.row_stride();
      body([=](index k) { return Eigen::Map<panel_row>(panel + k * stride); });
    });
  }

  matrix upper_, lower_;  // each read down its columns
};

/// cholesky_in_place(), of columns first.. of g and rows first.. of b only; what is left of them has been.
inline bool cholesky_in_place(matrix& g, matrix& b, index first, index count) {
  const index below = g.rows() - first;
  if (count <= elimination_columns) {
    if (!elimination_block::factorize(g.block(first, first, count, count))) return false;
    const elimination_block block(g.block(first, first, count, count));
    packed_block packed;
    pack(b.middleRows(first, count), packed);
    block.solve(packed);
    unpack(packed, b.middleRows(first, count));
    pack_transposed(g.block(first + count, first, below - count, count), packed);
    block.solve(packed);
    unpack_transposed(packed, g.block(first + count, first, below - count, count));
    return true;
  }
  const index half = first_part(count), next = first + half, rest = count - half;
  if (!cholesky_in_place(g, b, first, half)) return false;
  packed_block left, right;
  pack_transposed(g.block(next, first, below - half, half), left);
  pack(b.middleRows(first, half), right);
  add_products(-1.0,
               {{left, left, g.block(next, next, below - half, rest), true}, {left, right, b.middleRows(next, rest)}});
  return cholesky_in_place(g, b, next, rest);
}

/// Replaces the lower triangle of g by L, and b by L^-1 b. False at a pivot that is not positive; both are
/// then in between. What is above the diagonal of g is neither read nor kept.
inline bool cholesky_in_place(matrix& g, matrix& b) { return cholesky_in_place(g, b, 0, g.rows()); }

/// Rows first.. of b -> L^-1 or L^-T times them, by the block of L on its diagonal there.
template <void (elimination_block::*solve)(packed_block&) const>
void substitute_block(const matrix& l, matrix& b, index first, index count) {
  packed_block packed;
  pack(b.middleRows(first, count), packed);
  (elimination_block(l.block(first, first, count, count)).*solve)(packed);
  unpack(packed, b.middleRows(first, count));
}

/// substitute_forward(), of rows first.. of b only; those above them have been.
inline void substitute_forward(const matrix& l, matrix& b, index first, index count) {
  if (count <= elimination_columns) return substitute_block<&elimination_block::solve>(l, b, first, count);
  const index half = first_part(count), next = first + half, rest = count - half;
  substitute_forward(l, b, first, half);
  packed_block left, right;
  pack_transposed(l.block(next, first, rest, half), left);
  pack(b.middleRows(first, half), right);
  add_products(-1.0, {{left, right, b.middleRows(next, rest)}});
  substitute_forward(l, b, next, rest);
}

/// Replaces b by L^-1 b; l is read in its lower triangle.
inline void substitute_forward(const matrix& l, matrix& b) { substitute_forward(l, b, 0, l.rows()); }

/// substitute_back(), of rows first.. of b only; those below them have been.
inline void substitute_back(const matrix& l, matrix& b, index first, index count) {
  if (count <= elimination_columns) return substitute_block<&elimination_block::solve_transposed>(l, b, first, count);
  const index last = first_part(count), rest = count - last, next = first + rest;
  substitute_back(l, b, next, last);
  packed_block left, right;
  pack(l.block(next, first, last, rest), left);
  pack(b.middleRows(next, last), right);
  add_products(-1.0, {{left, right, b.middleRows(first, rest)}});
  substitute_back(l, b, first, rest);
}

/// Replaces b by L^-T b; l is read in its lower triangle.
inline void substitute_back(const matrix& l, matrix& b) { substitute_back(l, b, 0, l.rows()); }

/// L L^T v, l read in its lower triangle.
inline Eigen::VectorXd multiply_by_gram(const matrix& l, const Eigen::VectorXd& v) {
  const index d = l.rows();
  Eigen::VectorXd out = Eigen::VectorXd::Zero(d);
  for (index j = 0; j < d; ++j) {
    const double* column = &l(j, j);
    add_multiple(dot(column, &v[j], d - j), column, &out[j], d - j);
  }
  return out;
}

/// (L L^T)^-1 v
inline Eigen::VectorXd solve_gram(const matrix& l, Eigen::VectorXd v) {
  const index d = l.rows();
  for (index j = 0; j < d; ++j) {
    v[j] /= l(j, j);
    add_multiple(-v[j], &l(j, j) + 1, &v[j] + 1, d - j - 1);
  }
  for (index j = d; j-- > 0;) v[j] = (v[j] - dot(&l(j, j) + 1, &v[j] + 1, d - j - 1)) / l(j, j);
  return v;
}

/// G(order, order) ~ L L^T, g the lower triangle of G, with L lower trapezoidal and decreasing pivots L_kk^2:
/// Cholesky with complete pivoting, stopped at `limit` columns or where no pivot exceeds `cutoff`. (Eigen's
/// LDLT does not update the diagonal it pivots on, and so does not reveal the rank.)
struct pivoted_cholesky {
  matrix l;
  indices order;
  Eigen::VectorXd left;  ///< diagonal of what is left of G, in order, behind the columns kept; not below 0

  pivoted_cholesky(const matrix& g, index limit, double cutoff) : order(first_indices(g.rows())) {
    const index d = g.rows();
    l.setZero(d, (std::min)(d, limit));
    left = g.diagonal();
    index k = 0;
    for (; k < l.cols(); ++k) {
      const index best = std::max_element(&left[k], left.data() + d) - left.data();
      const double pivot = left[best];
      if (!(pivot > cutoff)) break;
      std::swap(order[k], order[best]);
      std::swap(left[k], left[best]);
      for (index j = 0; j < k; ++j) std::swap(l(k, j), l(best, j));
      const index below = d - k - 1;
      double* column = &l(k, k) + 1;
      for (index i = 0; i < below; ++i) {
        const index row = order[k + 1 + i];
        column[i] = row > order[k] ? g(row, order[k]) : g(order[k], row);
      }
      for (index j = 0; j < k; ++j) add_multiple(-l(k, j), &l(k, j) + 1, column, below);
      l(k, k) = std::sqrt(pivot);
      for (index i = 0; i < below; ++i) {
        column[i] /= l(k, k);
        left[k + 1 + i] -= column[i] * column[i];
      }
    }
    l.conservativeResize(Eigen::NoChange, k);
    left = Eigen::VectorXd(left.tail(d - k));
    for (index i = 0; i < left.size(); ++i) left[i] = (std::max)(left[i], 0.0);
  }

  index rank() const { return l.cols(); }
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
