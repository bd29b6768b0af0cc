// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/detail/parallel.hpp>
#include <layerwise/detail/product.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

// Cholesky factorization G = L L^T and the two triangular solutions, for many right-hand sides: columns are
// split in two until elimination_columns are left, so that nearly all of it is add_products(), and most of
// that deep. Eigen's own run at half its rate for square problems. Nothing here calls a BLAS, whose threads
// would get in the way of those that solve the layers of a profile side by side.
namespace layerwise::detail {

/// Columns eliminated one by one: few enough that the triangular solutions, d^2 times this, stay small.
inline constexpr index elimination_columns = 72;

/// How many of so many columns are eliminated before the others: half, in whole blocks, and not more than
/// what add_products() takes in one go.
inline index first_part(index columns) {
  const index blocks = (columns + elimination_columns - 1) / elimination_columns;
  return std::min<index>((blocks + 1) / 2, 7) * elimination_columns;
}

/// Calls body(columns of m) for tiles of columns, in parallel; the tiles do not depend on the number of
/// threads.
template <class Matrix, class Body>
void for_column_tiles(Matrix&& m, const Body& body) {
  parallel_chunks(m.cols(), 64, [&](index first, index count) { body(m.middleCols(first, count)); });
}

/// Calls body(c) for every column of m, in parallel.
template <class Body>
void for_columns(const Eigen::MatrixXd& m, const Body& body) {
  parallel_chunks(m.cols(), 64, [&](index first, index count) {
    for (index c = first; c < first + count; ++c) body(c);
  });
}

/// x -> L^-1 x for one column x; l is read in its lower triangle.
template <class Column>
void substitute_forward(const Eigen::MatrixXd& l, Column&& x) {
  for (index j = 0; j < l.rows(); ++j) {
    const index below = l.rows() - j - 1;
    x[j] /= l(j, j);
    x.tail(below) -= x[j] * l.col(j).tail(below);
  }
}

/// A block of at most elimination_columns columns of L, from the diagonal on.
class elimination_block {
 public:
  /// Factorizes the block of g in place. False at a pivot that is not positive.
  static bool factorize(Eigen::Ref<Eigen::MatrixXd> g) {
    for (index j = 0; j < g.rows(); ++j) {
      const index below = g.rows() - j - 1;
      if (!(g(j, j) > 0.0)) return false;
      g(j, j) = std::sqrt(g(j, j));
      g.col(j).tail(below) /= g(j, j);
      for (index k = j + 1; k < g.rows(); ++k)
        g.col(k).tail(g.rows() - k) -= g(k, j) * g.col(j).tail(g.rows() - k);
    }
    return true;
  }

  explicit elimination_block(const Eigen::Ref<const Eigen::MatrixXd>& l) : upper_(l.transpose()), lower_(l) {}

  /// b -> L^-1 b
  void solve(packed_block& b) const {
    for_panels(b, [&](auto row) {
      for (index k = 0; k < size(); ++k) {
        lanes x = row(k);
        for (index j = 0; j < k; ++j) x -= upper_(j, k) * row(j);
        row(k) = x / upper_(k, k);
      }
    });
  }

  /// b -> L^-T b
  void solve_transposed(packed_block& b) const {
    for_panels(b, [&](auto row) {
      for (index k = size(); k-- > 0;) {
        lanes x = row(k);
        for (index j = k + 1; j < size(); ++j) x -= lower_(j, k) * row(j);
        row(k) = x / lower_(k, k);
      }
    });
  }

 private:
  using lanes = Eigen::Array<double, packed_block::width, 1>;

  index size() const { return upper_.rows(); }

  /// Calls body(row) for every panel of b, row(k) its row k: a panel stays in the nearest cache, and what is
  /// summed up in registers.
  template <class Body>
  void for_panels(packed_block& b, const Body& body) const {
    parallel_chunks(b.padded_cols(), packed_block::width, [&](index first, index) {
      double* const panel = b.at(first);
      const index stride = b.row_stride();
      body([=](index k) { return Eigen::Map<lanes>(panel + k * stride); });
    });
  }

  Eigen::MatrixXd upper_, lower_;  // each read down its columns
};

/// eliminate(), of columns first.. of g and rows first.. of b only; what is left of them has been.
inline bool eliminate(Eigen::MatrixXd& g, Eigen::MatrixXd& b, index first, index count) {
  const index below = g.rows() - first;
  if (count <= elimination_columns) {
    if (!elimination_block::factorize(g.block(first, first, count, count))) return false;
    const elimination_block block(g.block(first, first, count, count));
    packed_block packed;
    const auto solve = [&](auto&& right) {
      pack(right, packed);
      block.solve(packed);
      unpack(packed, right);
    };
    solve(b.middleRows(first, count));
    solve(g.block(first + count, first, below - count, count).transpose());
    return true;
  }
  const index half = first_part(count), next = first + half, rest = count - half;
  if (!eliminate(g, b, first, half)) return false;
  packed_block left, right;
  pack(g.block(next, first, below - half, half).transpose(), left);
  pack(b.middleRows(first, half), right);
  add_products(-1.0, {{left, left, g.block(next, next, below - half, rest), true},
                      {left, right, b.middleRows(next, rest)}});
  return eliminate(g, b, next, rest);
}

/// Replaces the lower triangle of g by L, and b by L^-1 b. False at a pivot that is not positive; both are
/// then in between. What is above the diagonal of g is neither read nor kept.
inline bool eliminate(Eigen::MatrixXd& g, Eigen::MatrixXd& b) { return eliminate(g, b, 0, g.rows()); }

/// substitute_back(), of rows first.. of b only; those below them have been.
inline void substitute_back(const Eigen::MatrixXd& l, Eigen::MatrixXd& b, index first, index count) {
  if (count <= elimination_columns) {
    packed_block packed;
    pack(b.middleRows(first, count), packed);
    elimination_block(l.block(first, first, count, count)).solve_transposed(packed);
    unpack(packed, b.middleRows(first, count));
    return;
  }
  const index last = first_part(count), rest = count - last, next = first + rest;
  substitute_back(l, b, next, last);
  packed_block left, right;
  pack(l.block(next, first, last, rest), left);
  pack(b.middleRows(next, last), right);
  add_products(-1.0, {{left, right, b.middleRows(first, rest)}});
  substitute_back(l, b, first, rest);
}

/// Replaces b by L^-T b; l is read in its lower triangle.
inline void substitute_back(const Eigen::MatrixXd& l, Eigen::MatrixXd& b) {
  substitute_back(l, b, 0, l.rows());
}

/// L L^T v, l read in its lower triangle.
inline Eigen::VectorXd multiply_by_gram(const Eigen::MatrixXd& l, const Eigen::VectorXd& v) {
  const index d = l.rows();
  Eigen::VectorXd out = Eigen::VectorXd::Zero(d);
  for (index j = 0; j < d; ++j)
    out.tail(d - j) += l.col(j).tail(d - j).dot(v.tail(d - j)) * l.col(j).tail(d - j);
  return out;
}

/// (L L^T)^-1 v
inline Eigen::VectorXd solve_gram(const Eigen::MatrixXd& l, Eigen::VectorXd v) {
  const index d = l.rows();
  substitute_forward(l, v);
  for (index j = d; j-- > 0;) v[j] = (v[j] - l.col(j).tail(d - j - 1).dot(v.tail(d - j - 1))) / l(j, j);
  return v;
}

}  // namespace layerwise::detail
