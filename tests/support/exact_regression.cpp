#include "exact_regression.hpp"

#include "quad.hpp"

#include <Eigen/Core>
#include <Eigen/QR>

#include <algorithm>
#include <cmath>
#include <limits>

namespace layerwise_test {
namespace {

template <class Real>
auto center_in(Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>& m) {
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
    x_mean = center_in(x);
    y_mean = center_in(y);
    if (update.size() > 0) center_in(update);
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

using quad_matrix = Eigen::Matrix<quad, Eigen::Dynamic, Eigen::Dynamic>;

quad_matrix quads(const row_major& m) {
  return m.unaryExpr([](double v) { return quad(v); });
}

}  // namespace

long_matrix exact_values(const row_major& x) { return x.cast<long double>(); }

long_row center_exactly(long_matrix& m) { return center_in(m); }

exact_regression regress_exactly(const row_major& x, const row_major& y, bool centered) {
  return regress_in<long double>(exact_values(x), exact_values(y), centered);
}

exact_regression regress_in_quad(const row_major& x, const row_major& y, bool centered) {
  return regress_in<quad>(quads(x), quads(y), centered);
}

exact_gradients differentiate_in_quad(const row_major& of_x, const row_major& of_y, bool residual, bool centered) {
  quad_matrix x = quads(of_x), y = quads(of_y);
  if (centered) center_in(x), center_in(y);
  const quad_matrix weight = Eigen::HouseholderQR<quad_matrix>(x).solve(y);
  const quad_matrix rest = y - x * weight, explained = residual ? quad_matrix(y - x) : y;
  const quad energy = explained.squaredNorm(), left = rest.squaredNorm() / energy;
  quad_matrix through = rest * weight.transpose();
  const quad_matrix of_target = left * explained - rest;
  if (residual) through -= left * explained;
  const auto rounded = [&](const quad_matrix& m) -> row_major {
    return m.unaryExpr([&](const quad& v) { return static_cast<double>(quad(2) * v / energy); });
  };
  return {rounded(through), rounded(of_target)};
}

}  // namespace layerwise_test
