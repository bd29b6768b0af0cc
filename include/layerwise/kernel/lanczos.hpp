// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/cholesky.hpp>
#include <layerwise/kernel/vectors.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>

// The extreme eigenvalues of L L^T, for condition numbers and certificates.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// The largest eigenvalue of a symmetric tridiagonal matrix, the leading part of what is given, by bisection,
/// to a few units in the last place of its norm. x is above it where all pivots of the matrix less x are
/// negative (Sturm).
inline double largest_of_tridiagonal(const Eigen::VectorXd& diagonal, const Eigen::VectorXd& offdiagonal, index size) {
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

/// A vector that no matrix is built to be orthogonal to: numbers in [1, 2) of either sign, drawn by a generator
/// (splitmix64) that starts from the bits of what is given.
inline Eigen::VectorXd unforeseen_vector(index size, const Eigen::VectorXd& seed) {
  std::uint64_t state = 0;
  for (index i = 0; i < seed.size(); ++i)
    state = (state ^ std::bit_cast<std::uint64_t>(seed[i])) * 0x9e3779b97f4a7c15u, state ^= state >> 29;
  Eigen::VectorXd v(size);
  for (index i = 0; i < size; ++i) {
    std::uint64_t bits = state += 0x9e3779b97f4a7c15u;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    bits ^= bits >> 31;
    const double magnitude = 1.0 + static_cast<double>(bits >> 12) * 0x1p-52;
    v[i] = bits & 1 ? magnitude : -magnitude;
  }
  return v;
}

/// The largest eigenvalue of a symmetric positive semidefinite operator, by Lanczos with full
/// reorthogonalization: an estimate from below, iterated until it moves by less than 1e-4 of itself a step, but
/// `least` steps at least and 40 at most.
///
/// For a start that was drawn at random, k steps find less than half of it with a probability of
/// 1.65 sqrt(size) exp(-sqrt(1/2) (2 k - 1)) at most, whatever the spectrum: 2e-8 for 16 steps and size 2048
/// (J. Kuczynski and H. Wozniakowski, Estimating the largest eigenvalue by the power and Lanczos algorithms with a
/// random start, 1992). A size of `least` or less is exhausted.
template <class Operator>
double largest_eigenvalue(Eigen::VectorXd v, index least, const Operator& apply) {
  const index size = v.size(), steps = (std::min<index>)(size, 40);
  matrix basis(size, steps);
  Eigen::VectorXd diagonal(steps), offdiagonal(steps);
  double length = norm(v), estimate = 0.0;
  for (index k = 0; k < steps; ++k) {
    v /= length;
    basis.col(k) = v;
    v = apply(v);
    diagonal[k] = dot(&basis(0, k), v.data(), size);
    for (int pass = 0; pass < 2; ++pass)
      for (index i = 0; i <= k; ++i) add_multiple(-dot(&basis(0, i), v.data(), size), &basis(0, i), v.data(), size);
    offdiagonal[k] = length = norm(v);
    const double before = std::exchange(estimate, largest_of_tridiagonal(diagonal, offdiagonal, k + 1));
    const bool settled = k + 1 >= least && estimate - before <= 1e-4 * estimate;
    if (settled || !(length > 1e-12 * estimate)) break;
  }
  return estimate;
}

/// The extreme eigenvalues of L L^T, the smallest from above and the largest from below.
struct eigenvalue_range {
  double smallest, largest;

  /// Ratio of the extreme singular values of L.
  double condition() const { return std::sqrt((std::max)(1.0, largest / smallest)); }
};

/// l is read in its lower triangle. The certificates rest on the smallest, which has the longer way to settle.
inline eigenvalue_range eigenvalues_of_gram(const matrix& l) {
  const Eigen::VectorXd start = unforeseen_vector(l.rows(), l.diagonal());
  return {1.0 / largest_eigenvalue(start, 16, [&](const Eigen::VectorXd& v) { return solve_gram(l, v); }),
          largest_eigenvalue(start, 5, [&](const Eigen::VectorXd& v) { return multiply_by_gram(l, v); })};
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
