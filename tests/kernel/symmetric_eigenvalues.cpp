#include <layerwise/kernel/symmetric_eigenvalues.hpp>

#include "hard_data.hpp"
#include "identical.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>
#include <Eigen/Eigenvalues>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

namespace {

using layerwise::index;
using layerwise::detail::eigenvalue_rounding;
using layerwise::detail::largest_eigenvalues;
using layerwise::detail::tridiagonal_matrix;
using namespace layerwise_test;
using long_matrix = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic>;

/// Q diag(values) Q^T, symmetric to the bit.
Eigen::MatrixXd with_eigenvalues(std::mt19937_64& random, const Eigen::VectorXd& values) {
  const row_major q = random_orthogonal(random, values.size());
  const Eigen::MatrixXd product = q * values.asDiagonal() * q.transpose();
  return 0.5 * (product + product.transpose());
}

/// Against Eigen's solver, in long double.
void check_eigenvalues(const Eigen::MatrixXd& a) {
  const index d = a.rows();
  const Eigen::SelfAdjointEigenSolver<long_matrix> exact(a.cast<long double>(), Eigen::EigenvaluesOnly);
  const Eigen::VectorXd values = largest_eigenvalues(a, d);
  const double bound = eigenvalue_rounding(d) * a.norm();
  CAPTURE(d);
  double largest = 0;
  for (index k = 0; k < d; ++k)
    largest = std::max(largest, std::abs(static_cast<double>(values[k] - exact.eigenvalues()[d - 1 - k])));
  CHECK(largest <= bound);
  CHECK(largest <= 2e-14 * a.norm());
  for (index k = 1; k < d; ++k) CHECK(values[k] <= values[k - 1]);
  for (const index count : {index{1}, (d + 1) / 2}) check_identical(largest_eigenvalues(a, count), values.head(count));
}

TEST_CASE("eigenvalues of random matrices, of one column and of many") {
  std::mt19937_64 random(1);
  for (const index d : {1, 2, 3, 4, 7, 8, 9, 40, 150}) {
    const Eigen::MatrixXd m = random_matrix(random, d, d);
    check_eigenvalues(m + m.transpose());
    check_eigenvalues(m.transpose() * m);
  }
}

TEST_CASE("equal, graded and vanishing eigenvalues") {
  std::mt19937_64 random(2);
  const index d = 60;
  Eigen::VectorXd ones = Eigen::VectorXd::Ones(d), graded(d), few = Eigen::VectorXd::Zero(d);
  for (index k = 0; k < d; ++k) graded[k] = std::pow(10.0, -static_cast<double>(k) / 3.0);
  few.head(3) << 5.0, 5.0, 1e-3;
  for (const Eigen::VectorXd& values : {ones, graded, few}) check_eigenvalues(with_eigenvalues(random, values));
  check_eigenvalues(Eigen::MatrixXd::Zero(5, 5));
  check_eigenvalues(Eigen::MatrixXd::Identity(20, 20));
  check_eigenvalues(Eigen::MatrixXd::Ones(20, 20));
  Eigen::MatrixXd tiny = Eigen::MatrixXd::Constant(9, 9, 1e-200);  // beside 1
  tiny(0, 0) = 1.0;
  check_eigenvalues(tiny);
}

TEST_CASE("the second difference has eigenvalues 2 - 2 cos(k pi / (n + 1))") {
  const index n = 500;
  const tridiagonal_matrix t{Eigen::VectorXd::Constant(n, 2.0), Eigen::VectorXd::Constant(n - 1, -1.0)};
  const Eigen::VectorXd values = largest_eigenvalues(t, n);
  for (index k = 1; k <= n; ++k) {
    const double half = std::sin(0.5 * static_cast<double>(n + 1 - k) * std::numbers::pi / static_cast<double>(n + 1));
    CHECK(std::abs(values[k - 1] - 4.0 * half * half) < 1e-14);
  }
}

TEST_CASE("the bits do not depend on the number of threads") {
  std::mt19937_64 random(3);
  const Eigen::MatrixXd m = random_matrix(random, 600, 300), a = m * m.transpose() / 300.0;
  const Eigen::VectorXd expected = with_threads(1, [&] { return largest_eigenvalues(a, 600); });
  for (const int threads : {2, 3})
    check_identical(with_threads(threads, [&] { return largest_eigenvalues(a, 600); }), expected);
  CHECK(expected.sum() == near(a.trace(), 1e-12));
  CHECK(expected.squaredNorm() == near(a.squaredNorm(), 1e-12));
  CHECK(std::abs(expected[300]) < eigenvalue_rounding(600) * a.norm());
}

}  // namespace
