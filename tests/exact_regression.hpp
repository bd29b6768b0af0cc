// Linear regression from its definition, in long double, or in quad where the data is so ill-conditioned that
// long double is not enough: what the tests compare the library's scores with. It shares nothing with the
// library but the definition.
#pragma once

#include "quad.hpp"

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
template <class Real>
auto center_exactly(Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>& m) {
  using row = Eigen::Matrix<Real, 1, Eigen::Dynamic>;
  const row first = m.row(0);
  m.rowwise() -= first;
  const row mean = m.colwise().sum() / Real(static_cast<double>(m.rows()));
  m.rowwise() -= mean;
  return row(first + mean);
}

template <class Real>
exact_regression regress_in(Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic> x,
                            Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic> y, bool centered) {
  using std::abs, std::sqrt;
  using matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>;
  using row = Eigen::Matrix<Real, 1, Eigen::Dynamic>;
  matrix update;
  const Eigen::Index d = x.cols();
  if (x.cols() == y.cols()) update = y - x;
  row x_mean = row::Zero(d), y_mean = row::Zero(y.cols());
  if (centered) {
    x_mean = center_exactly(x);
    y_mean = center_exactly(y);
    if (update.size() > 0) center_exactly(update);
  }
  exact_regression out;
  const Real output_energy = y.squaredNorm();
  const Real update_energy = update.size() > 0 ? update.squaredNorm() : Real(0);
  // y and the update leave the same residual; the smaller one without cancellation.
  const bool fit_update = update.size() > 0 && update_energy < output_energy;

  row norm(d);
  for (Eigen::Index j = 0; j < d; ++j) {
    const Real peak = x.col(j).cwiseAbs().maxCoeff();
    norm[j] = peak > Real(0) ? peak * sqrt((x.col(j) / peak).squaredNorm()) : Real(1);
    x.col(j) /= norm[j];
  }
  const Eigen::ColPivHouseholderQR<matrix> qr(x);
  const Eigen::Index most = std::min(x.rows(), x.cols());
  const auto as_long_double = [](const Real& value) { return static_cast<long double>(value); };
  const matrix triangle = qr.matrixQR().topRows(most).template triangularView<Eigen::Upper>();
  out.triangle = triangle.unaryExpr(as_long_double);
  const long double rounding =
      as_long_double(Eigen::NumTraits<Real>::epsilon()) * std::sqrt(static_cast<long double>(d));
  if (out.triangle(0, 0) != 0)
    while (out.rank < most && out.relative_pivot(out.rank) > 64 * rounding) ++out.rank;

  const matrix z = qr.householderQ().adjoint() * (fit_update ? update : y);
  out.output_energy = as_long_double(output_energy);
  out.update_energy = as_long_double(update_energy);
  out.residual_energy = as_long_double(z.bottomRows(z.rows() - out.rank).squaredNorm());
  matrix a = matrix::Zero(d, y.cols());
  a.topRows(out.rank) = qr.matrixQR()
                            .topLeftCorner(out.rank, out.rank)
                            .template triangularView<Eigen::Upper>()
                            .solve(z.topRows(out.rank));
  matrix weight = norm.cwiseInverse().asDiagonal() * matrix(qr.colsPermutation() * a);
  if (fit_update) weight.diagonal().array() += Real(1);
  out.weight = weight.unaryExpr(as_long_double);
  out.bias = row(y_mean - x_mean * weight).unaryExpr(as_long_double);
  return out;
}

template <class X, class Y>
exact_regression regress_exactly(const X& x, const Y& y, bool centered = true) {
  return regress_in<long double>(exact_values(x), exact_values(y), centered);
}

/// The same with twice the digits, at a hundred times the cost.
template <class X, class Y>
exact_regression regress_in_quad(const X& x, const Y& y, bool centered = true) {
  const auto quads = [](const auto& m) -> Eigen::Matrix<quad, Eigen::Dynamic, Eigen::Dynamic> {
    return m.template cast<double>().unaryExpr([](double v) { return quad(v); });
  };
  return regress_in<quad>(quads(x), quads(y), centered);
}

}  // namespace layerwise_test
