// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>

#include <Eigen/Core>

#include <cmath>

// The operations on columns of doubles that the solvers consist of. As functions of pointers they are compiled once; as
// expressions of columns of blocks of matrices, each of a type of its own, they made up most of what including the
// library cost. Sums are in Eigen's order (those over rows of data are in that of lanes.hpp).
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Where column j of m begins.
inline const double* column(const matrix& m, index j) { return m.data() + j * m.rows(); }
inline double* column(matrix& m, index j) { return m.data() + j * m.rows(); }

/// sum x_i y_i
inline double dot(const double* x, const double* y, index n) {
  return Eigen::VectorXd::Map(x, n).dot(Eigen::VectorXd::Map(y, n));
}

/// sum x_i^2
inline double squared_norm(const double* x, index n) { return Eigen::VectorXd::Map(x, n).squaredNorm(); }

inline double squared_norm(const Eigen::VectorXd& x) { return squared_norm(x.data(), x.size()); }
inline double norm(const Eigen::VectorXd& x) { return std::sqrt(squared_norm(x)); }

/// sum p_i |x_i|
inline double weighted_sum(const Eigen::VectorXd& p, const double* x) {
  double sum = 0.0;
  for (index i = 0; i < p.size(); ++i) sum += p[i] * std::abs(x[i]);
  return sum;
}

/// y += factor x
inline void add_multiple(double factor, const double* x, double* y, index n) {
  Eigen::VectorXd::Map(y, n) += factor * Eigen::VectorXd::Map(x, n);
}

/// factor x
inline Eigen::VectorXd scaled(double factor, const Eigen::VectorXd& x) {
  Eigen::VectorXd out = x;
  out *= factor;
  return out;
}

/// a m b
inline matrix scaled(matrix m, double a, double b) {
  for (index k = 0; k < m.size(); ++k) m.data()[k] = m.data()[k] * a * b;
  return m;
}

/// ||factor m||_F^2
inline double scaled_energy(const matrix& m, double factor) {
  double energy = 0.0;
  for (index j = 0; j < m.cols(); ++j) energy += squared_norm(scaled(factor, m.col(j)));
  return energy;
}

/// The squared norms of the columns of m, from row `first` on.
inline Eigen::VectorXd column_energies(const matrix& m, index first = 0) {
  Eigen::VectorXd energies(m.cols());
  for (index j = 0; j < m.cols(); ++j) energies[j] = squared_norm(column(m, j) + first, m.rows() - first);
  return energies;
}

/// m += a b^T, or the lower triangle of that only.
inline void add_outer(const Eigen::VectorXd& a, const Eigen::VectorXd& b, matrix& m, bool lower_only = false) {
  for (index j = 0; j < m.cols(); ++j) {
    const index first = lower_only ? j : 0;
    add_multiple(b[j], a.data() + first, column(m, j) + first, m.rows() - first);
  }
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
