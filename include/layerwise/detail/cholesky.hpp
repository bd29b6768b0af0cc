// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/detail/parallel.hpp>
#include <layerwise/detail/product.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

// Cholesky factorization G = L L^T and the two triangular solutions, in blocks of columns, for many
// right-hand sides: nearly all of it is add_products(). Eigen's own run at half its rate for square problems.
// Nothing here calls a BLAS, whose threads would get in the way of those that solve the layers of a profile
// side by side.
namespace layerwise::detail {

/// Columns eliminated at once: enough rows for C to be read and written seldom, few enough that
/// the triangular solutions, d^2 times this, stay small.
inline constexpr index elimination_columns = 72;

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

  explicit elimination_block(const Eigen::Ref<const Eigen::MatrixXd>& l) : l_(l), upper_(l.transpose()) {}

  /// b -> L^-1 b
  void solve(Eigen::Ref<Eigen::MatrixXd> b) const {
    for_column_tiles(b, [&](auto columns) {
      for (index c = 0; c < columns.cols(); ++c) substitute_forward(l_, columns.col(c));
    });
  }

  /// b -> L^-T b
  void solve_transposed(Eigen::Ref<Eigen::MatrixXd> b) const {
    for_column_tiles(b, [&](auto columns) {
      for (index c = 0; c < columns.cols(); ++c) {
        auto x = columns.col(c);
        for (index j = size(); j-- > 0;) {
          x[j] /= l_(j, j);
          x.head(j) -= x[j] * upper_.col(j).head(j);
        }
      }
    });
  }

  /// b -> b L^-T, in chunks of rows that stay in the nearest cache.
  void solve_from_the_right(Eigen::Ref<Eigen::MatrixXd> b) const {
    parallel_chunks(b.rows(), 64, [&](index first, index count) {
      auto rows = b.middleRows(first, count);
      for (index j = 0; j < size(); ++j) {
        rows.col(j) /= l_(j, j);
        for (index k = j + 1; k < size(); ++k) rows.col(k) -= l_(k, j) * rows.col(j);
      }
    });
  }

 private:
  index size() const { return l_.rows(); }

  Eigen::MatrixXd l_, upper_;
};

/// Replaces the lower triangle of g by L, and b by L^-1 b. False at a pivot that is not positive; both are
/// then in between. What is above the diagonal of g is neither read nor kept.
inline bool eliminate(Eigen::MatrixXd& g, Eigen::MatrixXd& b) {
  const index d = g.rows();
  packed_block left, right;
  for (index k = 0; k < d; k += elimination_columns) {
    const index count = std::min(elimination_columns, d - k), rest = d - k - count;
    if (!elimination_block::factorize(g.block(k, k, count, count))) return false;
    const elimination_block block(g.block(k, k, count, count));
    block.solve(b.middleRows(k, count));
    if (rest == 0) break;
    block.solve_from_the_right(g.block(k + count, k, rest, count));
    pack(g.block(k + count, k, rest, count).transpose(), left);
    pack(b.middleRows(k, count), right);
    add_products(-1.0,
                 {{left, left, g.bottomRightCorner(rest, rest), true}, {left, right, b.bottomRows(rest)}});
  }
  return true;
}

/// Replaces b by L^-T b; l is read in its lower triangle.
inline void substitute_back(const Eigen::MatrixXd& l, Eigen::MatrixXd& b) {
  packed_block left, right;
  for (index end = l.rows(); end > 0;) {
    const index count = (end - 1) % elimination_columns + 1, k = end - count;
    elimination_block(l.block(k, k, count, count)).solve_transposed(b.middleRows(k, count));
    if (k == 0) break;
    pack(l.block(k, 0, count, k), left);
    pack(b.middleRows(k, count), right);
    add_products(-1.0, {{left, right, b.topRows(k)}});
    end = k;
  }
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
