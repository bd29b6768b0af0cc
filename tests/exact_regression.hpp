// Linear regression from its definition, in long double: what the tests compare the library's scores with. It shares
// nothing with the library but the definition.
#pragma once

#include <Eigen/Core>
#include <Eigen/QR>

#include <algorithm>
#include <cmath>
#include <limits>

namespace layerwise_test {

using long_matrix = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic>;
using long_row = Eigen::Matrix<long double, 1, Eigen::Dynamic>;

/// min_A ||X A - Y||_F^2 of the (centred) X and Y.
struct exact_regression {
  Eigen::Index rank = 0;
  long double output_energy = 0, update_energy = 0, residual_energy = 0;
  long_matrix weight;  ///< d_x x d_y; unique if rank = d_x
  long_row bias;
  long_matrix triangle;  ///< of the pivoted QR factorization of X, centred, columns of unit norm

  /// The size of direction `number`, from 0 on, relative to the first one.
  long double relative_pivot(Eigen::Index number) const {
    return number < triangle.rows() ? std::abs(triangle(number, number) / triangle(0, 0)) : 0;
  }

  long double score() const { return 1 - residual_energy / output_energy; }
  long double residual_score() const { return 1 - residual_energy / update_energy; }
};

/// The values of a matrix of any scalar type, exactly.
template <class X>
long_matrix exact_values(const X& x) {
  return x.template cast<double>().template cast<long double>();
}

/// Takes out the column means and returns them. Exactly 0 is left of a constant column.
inline long_row center_exactly(long_matrix& m) {
  const long_row first = m.row(0);
  m.rowwise() -= first;
  const long_row mean = m.colwise().mean();
  m.rowwise() -= mean;
  return first + mean;
}

inline exact_regression regress_exactly(long_matrix x, long_matrix y, bool centered) {
  long_matrix update;
  const Eigen::Index d = x.cols();
  if (x.cols() == y.cols()) update = y - x;
  long_row x_mean = long_row::Zero(d), y_mean = long_row::Zero(y.cols());
  if (centered) {
    x_mean = center_exactly(x);
    y_mean = center_exactly(y);
    if (update.size() > 0) center_exactly(update);
  }
  exact_regression out;
  out.output_energy = y.squaredNorm();
  if (update.size() > 0) out.update_energy = update.squaredNorm();
  // y and the update leave the same residual; the smaller one without cancellation.
  const bool fit_update = update.size() > 0 && out.update_energy < out.output_energy;

  long_row norm(d);
  for (Eigen::Index j = 0; j < d; ++j) {
    const long double peak = x.col(j).cwiseAbs().maxCoeff();
    norm[j] = peak > 0 ? peak * (x.col(j) / peak).norm() : 1;
    x.col(j) /= norm[j];
  }
  const Eigen::ColPivHouseholderQR<long_matrix> qr(x);
  const Eigen::Index most = std::min(x.rows(), x.cols());
  out.triangle = qr.matrixQR().topRows(most).template triangularView<Eigen::Upper>();
  const long double rounding = std::numeric_limits<long double>::epsilon() * std::sqrt(static_cast<long double>(d));
  if (out.triangle(0, 0) != 0)
    while (out.rank < most && out.relative_pivot(out.rank) > 64 * rounding) ++out.rank;

  const long_matrix z = qr.householderQ().adjoint() * (fit_update ? update : y);
  out.residual_energy = z.bottomRows(z.rows() - out.rank).squaredNorm();
  long_matrix a = long_matrix::Zero(d, y.cols());
  a.topRows(out.rank) = qr.matrixQR().topLeftCorner(out.rank, out.rank).template triangularView<Eigen::Upper>().solve(
      z.topRows(out.rank));
  out.weight = norm.cwiseInverse().asDiagonal() * long_matrix(qr.colsPermutation() * a);
  if (fit_update) out.weight.diagonal().array() += 1;
  out.bias = y_mean - x_mean * out.weight;
  return out;
}

template <class X, class Y>
exact_regression regress_exactly(const X& x, const Y& y, bool centered = true) {
  return regress_exactly(exact_values(x), exact_values(y), centered);
}

}  // namespace layerwise_test
