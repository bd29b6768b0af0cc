// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/scaling.hpp>

#include <Eigen/Core>
#include <Eigen/SVD>

#include <cmath>

// Singular values and vectors, by Eigen. Templates all of them: a unit that asks for none does not compile Eigen's
// decompositions, which takes seconds.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// A = U diag(values) V^T, without V; as many values as A has rows or columns, descending.
struct singular_values {
  Eigen::VectorXd values;
  matrix u;  ///< a column each, where they were asked for
};

/// Which vectors.
enum class singular_vectors { none, left };

/// Whether the values can be those of a matrix of this norm: their squares must add up to its square.
template <class Values>
bool are_plausible(const Values& values, double norm) {
  double energy = 0.0;
  for (index k = 0; k < values.size(); ++k) energy += values[k] * values[k];
  return std::abs(std::sqrt(energy) - norm) <= 1e-10 * norm;  // false for NaN
}

/// The SVD of a matrix of finite values whose squares neither overflow nor underflow.
///
/// By divide and conquer, or by Jacobi's rotations where that has failed, on one thread: the bits do not depend on the
/// number of threads. About 3 d^3 flops for the values of a d x d matrix, 10 d^3 with vectors.
template <singular_vectors wanted, class Matrix>
singular_values decompose(const Matrix& of) {
  constexpr int options = wanted == singular_vectors::none ? 0 : Eigen::ComputeThinU;
  using dense = Eigen::Matrix<typename Matrix::Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;  // dependent
  const dense a = of;
#ifdef _OPENMP
  const one_thread scope;
#endif
  const auto result = [](const auto& svd) {
    singular_values out;
    out.values = svd.singularValues();
    if constexpr (wanted == singular_vectors::left) out.u = svd.matrixU();
    return out;
  };
#if EIGEN_VERSION_AT_LEAST(3, 4, 90)
  using first_method = Eigen::BDCSVD<dense, options>;
  using second_method = Eigen::JacobiSVD<dense, options>;
  if (const first_method svd(a); are_plausible(svd.singularValues(), a.norm())) return result(svd);
  return result(second_method(a));
#else
  if (const Eigen::BDCSVD<dense> svd(a, options); are_plausible(svd.singularValues(), a.norm())) return result(svd);
  return result(Eigen::JacobiSVD<dense>(a, options));
#endif
}

/// How far the computed values are from the exact ones, as a vector: the error of A that would have made them, which is
/// a few unit roundoffs a reflection or rotation (Golub & Van Loan, Matrix Computations, 5.4 and 8.6). That these add up
/// to more is not proved impossible; they do not in tests, by far.
inline double rounding_of_svd(index rows, index cols, double norm) {
  return 4.0 * static_cast<double>(rows + cols + 4) * unit_roundoff * norm;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
