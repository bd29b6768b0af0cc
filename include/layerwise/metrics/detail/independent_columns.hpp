// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/cholesky.hpp>
#include <layerwise/kernel/indices.hpp>
#include <layerwise/kernel/lanczos.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/solve/detail/certificate.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <utility>

// The columns of a layer that moments can tell from combinations of the others, and their whitening. With columns scaled
// to norm 1, G = X^T X = L L^T of those that are kept. The exact G' differs from L L^T by E, |E_ij| <= gamma' p_i p_j:
// gamma' is the rounding of the sums, of the scaling and of the factorization, and p_j the norm of column j as it was
// summed over what is left of it about the mean.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Of one layer.
struct independent_columns {
  indices order;          ///< columns of the layer with a variance, those that are kept first
  Eigen::VectorXd norm;   ///< of the columns in that order, in units of the moments
  Eigen::VectorXd p;      ///< of the columns in that order
  matrix factor;          ///< their inner products with whitened directions: a row each; L on top
  double gamma = 0.0;     ///< gamma'
  double smallest = 0.0;  ///< the smallest eigenvalue of L L^T is at least this
  double eta = HUGE_VAL;  ///< ||L^-1 E L^-T||_2 is at most this; less than 1/2 but where nothing is certain

  index rank() const { return factor.cols(); }
  /// (sum of p_j^2)^(1/2) of the columns kept
  double p_norm() const { return std::sqrt(squared_norm(p.data(), rank())); }
  /// L
  matrix lower() const { return factor.topRows(rank()); }
};

/// G of columns with a variance, its lower triangle.
inline matrix scaled_gram(const matrix& second, const indices& live, const Eigen::VectorXd& norm) {
  matrix g(live.size(), live.size());
  for (index j = 0; j < g.cols(); ++j) {
    g(j, j) = 1.0;
    for (index i = j + 1; i < g.rows(); ++i) g(i, j) = second(live[i], live[j]) / norm[i] / norm[j];
  }
  return g;
}

/// The columns of a layer of these second moments, by Cholesky with complete pivoting, up to where a pivot can no longer
/// be told from rounding, or a little earlier, where what was kept is too close to that. gamma and summed_norm as in
/// scatter_rounding; limit: what the rank can be. One column has a variance.
inline independent_columns find_independent_columns(const matrix& second, double gamma,
                                                    const Eigen::VectorXd& summed_norm, index limit) {
  indices live(second.cols());
  index size = 0;
  for (index j = 0; j < second.cols(); ++j)
    if (second(j, j) > least_energy) live[size++] = j;
  live.conservativeResize(size);
  Eigen::VectorXd norm(size), p(size);
  for (index i = 0; i < size; ++i) {
    norm[i] = std::sqrt(second(live[i], live[i]));
    p[i] = (std::max)(1.0, summed_norm[live[i]] / norm[i]);
  }
  const matrix gram = scaled_gram(second, live, norm);
  independent_columns out;
  out.gamma = gamma + unit_roundoff * (elimination_chain(size) + 8.0);
  double cutoff = (std::min)(0.5, 4.0 * out.gamma * squared_norm(p));
  for (;; cutoff = (std::min)(10.0 * cutoff, 0.5)) {
    pivoted_cholesky pivoted(gram, limit, cutoff);
    out.factor = std::move(pivoted.l);
    out.order = select(live, pivoted.order);
    out.norm = select(norm, pivoted.order);
    out.p = select(p, pivoted.order);
    out.smallest = 0.5 * eigenvalues_of_gram(out.lower()).smallest;  // which Lanczos finds from above
    out.eta = out.gamma * out.p_norm() * out.p_norm() / out.smallest;
    if (out.eta < 0.5 || !(cutoff < 0.5)) return out;
  }
}

/// T = L_x^-1 (X^T Y) L_y^-T, whose singular values are the canonical correlations.
struct whitened_pair {
  matrix t;            ///< rank of X x rank of Y
  double error = 0.0;  ///< ||T - exact T of exact moments whitened by the same L_x, L_y||_F is at most this
  double ratio = 0.0;  ///< exact whitening changes singular values by this factor at most, or its inverse

  /// Of each singular value, against those of the exact moments: at most 1, since all are in [0, 1].
  double value_error(double decomposition) const {
    const double bound = (ratio - 1.0) + ratio * (error + decomposition);
    return bound < 1.0 ? bound : 1.0;
  }
};

/// With M = L^-1 G' L^-T, ||M - I|| <= eta, the exact correlations are the singular values of M_x^-1/2 B M_y^-1/2, where
/// B is T of exact moments X^T Y: Ostrowski's theorem moves those of B by a factor within [ratio^-1, ratio],
/// ratio = ((1 - eta_x)(1 - eta_y))^-1/2. A substitution L t = c is exact for an L that is off by |dL| <= gamma |L|
/// (another dL for each column), and || |L| ||_F = sqrt(rank).
inline whitened_pair whiten(const matrix& cross, double gamma, const Eigen::VectorXd& cross_norm,
                            const independent_columns& x, const independent_columns& y) {
  const index r_x = x.rank(), r_y = y.rank();
  matrix c(r_x, r_y);
  double q = 0.0;
  for (index j = 0; j < r_y; ++j) {
    for (index i = 0; i < r_x; ++i) c(i, j) = cross(x.order[i], y.order[j]) / x.norm[i] / y.norm[j];
    const double of_column = (std::max)(1.0, cross_norm[y.order[j]] / y.norm[j]);
    q += of_column * of_column;
  }
  const auto substitution = [](index rank, const matrix& solved) {
    const double root = std::sqrt(static_cast<double>(rank));
    return unit_roundoff * (elimination_chain(rank) + 2.0) * root * std::sqrt(column_energies(solved).sum());
  };
  double error = (gamma + 4.0 * unit_roundoff) * x.p_norm() * std::sqrt(q);
  substitute_forward(x.lower(), c);
  error = (error + substitution(r_x, c)) / std::sqrt(x.smallest);
  matrix t = c.transpose();
  substitute_forward(y.lower(), t);
  error = (error + substitution(r_y, t)) / std::sqrt(y.smallest);
  const double left = (1.0 - x.eta) * (1.0 - y.eta);
  const bool is_certain = x.eta < 1.0 && y.eta < 1.0 && std::isfinite(error);
  return {t.transpose(), is_certain ? error : HUGE_VAL, is_certain ? 1.0 / std::sqrt(left) : HUGE_VAL};
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
