// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/detail/parallel.hpp>
#include <layerwise/detail/product.hpp>

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include <algorithm>

// Cholesky factorization G = L L^T and the two triangular solutions, in blocks of columns, for many
// right-hand sides: nearly all of it is add_products(). Eigen's own run at half its rate for square problems.
namespace layerwise::detail {

/// Columns eliminated at once: enough rows for the product to run at nine tenths of its rate, few enough that
/// the triangular solutions, d^2 times this, stay small.
inline constexpr index elimination_columns = 128;

/// out = m, packed.
template <class Matrix>
void pack(const Matrix& m, packed_block& out) {
  constexpr index width = packed_block::width;
  out.resize(m.rows(), m.cols());
  parallel_chunks(m.cols(), width, [&](index first, index count) {
    Eigen::Map<Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0,
               Eigen::OuterStride<>>(out.at(first), m.rows(), count, Eigen::OuterStride<>(out.row_stride())) =
        m.middleCols(first, count);
  });
  out.clear_padding();
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

/// Replaces the lower triangle of g by L, and b by L^-1 b. False at a pivot that is not positive; both are
/// then in between. What is above the diagonal of g is neither read nor kept.
inline bool eliminate(Eigen::MatrixXd& g, Eigen::MatrixXd& b) {
  const index d = g.rows();
  packed_block left, right;
  for (index k = 0; k < d; k += elimination_columns) {
    const index count = std::min(elimination_columns, d - k), rest = d - k - count;
    Eigen::Ref<Eigen::MatrixXd> corner = g.block(k, k, count, count);
    if (Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>>(corner).info() != Eigen::Success) return false;
    const auto lower = corner.triangularView<Eigen::Lower>();
    for_column_tiles(g.block(k + count, k, rest, count).transpose(),
                     [&](auto columns) { lower.solveInPlace(columns); });
    for_column_tiles(b.middleRows(k, count), [&](auto columns) { lower.solveInPlace(columns); });
    if (rest == 0) break;
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
    const auto upper = l.block(k, k, count, count).triangularView<Eigen::Lower>().transpose();
    for_column_tiles(b.middleRows(k, count), [&](auto columns) { upper.solveInPlace(columns); });
    if (k == 0) break;
    pack(l.block(k, 0, count, k), left);
    pack(b.middleRows(k, count), right);
    add_products(-1.0, {{left, right, b.topRows(k)}});
    end = k;
  }
}

}  // namespace layerwise::detail
