// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/detail/cholesky.hpp>
#include <layerwise/detail/vectors.hpp>
#include <layerwise/error.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <utility>

namespace layerwise::inline LAYERWISE_ABI::detail {

/// The largest eigenvalue of a symmetric tridiagonal matrix, the leading part of what is given, by bisection,
/// to a few units in the last place of its norm. x is above it where all pivots of the matrix less x are
/// negative (Sturm).
inline double largest_of_tridiagonal(const Eigen::VectorXd& diagonal, const Eigen::VectorXd& offdiagonal,
                                     index size) {
  double below = *std::max_element(diagonal.data(), diagonal.data() + size), above = below;
  for (index i = 0; i < size; ++i)  // Gershgorin's discs
    above = (std::max)(above, diagonal[i] + (i > 0 ? std::abs(offdiagonal[i - 1]) : 0.0) +
                                (i + 1 < size ? std::abs(offdiagonal[i]) : 0.0));
  for (;;) {
    const double x = below + 0.5 * (above - below);
    if (!(below < x && x < above)) return above;
    double pivot = diagonal[0] - x;
    for (index i = 1; i < size && pivot < 0.0; ++i)
      pivot = diagonal[i] - x - offdiagonal[i - 1] / pivot * offdiagonal[i - 1];
    (pivot < 0.0 ? above : below) = x;
  }
}

/// The largest eigenvalue of a symmetric positive semidefinite operator, by Lanczos with full
/// reorthogonalization: an estimate from below, iterated until it moves by less than 1e-4 of itself a step,
/// which is no bound on its error (3 % have been seen), 40 steps at most. Deterministic.
template <class Operator>
double largest_eigenvalue(index size, const Operator& apply) {
  const index steps = (std::min<index>)(size, 40);
  matrix basis(size, steps);
  Eigen::VectorXd diagonal(steps), offdiagonal(steps), v(size);
  for (index i = 0; i < size; ++i)
    v[i] = 1.0 + std::sin(static_cast<double>(i * i + i));  // no symmetry to fall into
  double norm = v.norm(), estimate = 0.0;
  for (index k = 0; k < steps; ++k) {
    v /= norm;
    basis.col(k) = v;
    v = apply(v);
    diagonal[k] = dot(&basis(0, k), v.data(), size);
    for (int pass = 0; pass < 2; ++pass)
      for (index i = 0; i <= k; ++i)
        add_multiple(-dot(&basis(0, i), v.data(), size), &basis(0, i), v.data(), size);
    offdiagonal[k] = norm = v.norm();
    const double before = std::exchange(estimate, largest_of_tridiagonal(diagonal, offdiagonal, k + 1));
    const bool settled = k >= 4 && estimate - before <= 1e-4 * estimate;
    if (settled || !(norm > 1e-12 * estimate)) break;
  }
  return estimate;
}

/// The extreme eigenvalues of L L^T, the smallest from above and the largest from below.
struct eigenvalue_range {
  double smallest, largest;

  /// Ratio of the extreme singular values of L.
  double condition() const { return std::sqrt((std::max)(1.0, largest / smallest)); }
};

/// l is read in its lower triangle.
inline eigenvalue_range eigenvalues_of_gram(const matrix& l) {
  const auto largest = [&](auto apply) {
    return largest_eigenvalue(l.rows(), [&](const Eigen::VectorXd& v) { return apply(l, v); });
  };
  return {1.0 / largest(solve_gram), largest(multiply_by_gram)};
}

}  // namespace layerwise::detail
