#include <layerwise/kernel/lanczos.hpp>

#include "hard_data.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>
#include <Eigen/Eigenvalues>

#include <cmath>
#include <random>

namespace {

using layerwise::index;
using namespace layerwise_test;

TEST_CASE("the largest eigenvalue of a tridiagonal matrix is that of QR iterations") {
  std::mt19937_64 random(1);
  for (const index size : {1, 2, 3, 10, 40})
    for (const double scale : {1.0, 1e-200, 1e150})
      for (const double coupling : {0.0, 1e-9, 1.0, 100.0}) {
        const Eigen::VectorXd diagonal = scale * random_matrix(random, size, 1);
        const Eigen::VectorXd offdiagonal = scale * coupling * random_matrix(random, size - 1, 1);
        Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> reference;
        reference.computeFromTridiagonal(diagonal / scale, offdiagonal / scale, Eigen::EigenvaluesOnly);
        const double norm = reference.eigenvalues().cwiseAbs().maxCoeff();
        const double found = layerwise::detail::largest_of_tridiagonal(diagonal, offdiagonal, size);
        CAPTURE(size);
        CAPTURE(scale);
        CAPTURE(coupling);
        CHECK(std::abs(found / scale - reference.eigenvalues().maxCoeff()) <= 1e-14 * norm);
      }
}

TEST_CASE("Lanczos finds the largest eigenvalue") {
  std::mt19937_64 random(11);
  for (const index size : {1, 2, 5, 39, 41, 200})
    for (const double decay : {0.0, 0.05, 0.5}) {
      const row_major v = random_orthogonal(random, size);
      const Eigen::VectorXd values = Eigen::VectorXd::NullaryExpr(
          size, [&](index k) { return 7.0 * std::pow(static_cast<double>(k + 1), -decay); });
      const Eigen::MatrixXd m = v * values.asDiagonal() * v.transpose();
      const double found =
          layerwise::detail::largest_eigenvalue(layerwise::detail::unforeseen_vector(size, values), 5,
                                                [&](const Eigen::VectorXd& x) -> Eigen::VectorXd { return m * x; });
      CAPTURE(size);
      CAPTURE(decay);
      CHECK(found <= 7.0 * (1.0 + 1e-12));
      CHECK(found >= 7.0 * 0.95);
    }
}

TEST_CASE("sixteen steps find half of the largest eigenvalue, for spectra that hide it") {
  std::mt19937_64 random(12);
  for (const index size : {16, 64, 300})
    for (const double alone : {1.0001, 1.5, 3.0, 1e6}) {  // one eigenvalue above a dense rest
      const row_major v = random_orthogonal(random, size);
      Eigen::VectorXd values = Eigen::VectorXd::LinSpaced(size, 0.0, 1.0);
      values[size - 1] = alone;
      const Eigen::MatrixXd m = v * values.asDiagonal() * v.transpose();
      int steps = 0;
      const auto apply = [&](const Eigen::VectorXd& x) -> Eigen::VectorXd { return ++steps, m * x; };
      for (int seed = 0; seed < 20; ++seed) {
        steps = 0;
        const double found = layerwise::detail::largest_eigenvalue(
            layerwise::detail::unforeseen_vector(size, Eigen::VectorXd::Constant(1, seed)), 16, apply);
        CHECK(found >= 0.5 * alone);
        CHECK(steps >= 16);
      }
    }
}

TEST_CASE("no eigenvector is orthogonal to a start that comes from the matrix") {
  // The start before it did: 1 + sin(i^2 + i). G = I + 2 v v^T with v orthogonal to it has the condition sqrt(3).
  const index size = 12;
  Eigen::VectorXd known(size), v = Eigen::VectorXd::Unit(size, 3);
  for (index i = 0; i < size; ++i) known[i] = 1.0 + std::sin(static_cast<double>(i * i + i));
  v -= known * (known.dot(v) / known.squaredNorm());
  v.normalize();
  const Eigen::MatrixXd g = Eigen::MatrixXd::Identity(size, size) + 145.0 * v * v.transpose();
  Eigen::MatrixXd l = g.llt().matrixL();
  const auto [smallest, largest] = layerwise::detail::eigenvalues_of_gram(l);
  CHECK(largest == doctest::Approx(146.0).epsilon(1e-6));
  CHECK(smallest == doctest::Approx(1.0).epsilon(1e-6));
  const Eigen::MatrixXd inverse = g.inverse();
  l = inverse.llt().matrixL();
  CHECK(layerwise::detail::eigenvalues_of_gram(l).condition() == doctest::Approx(std::sqrt(146.0)).epsilon(1e-6));
}

TEST_CASE("the extreme eigenvalues of L L^T are those of its singular values") {
  std::mt19937_64 random(2);
  for (const index size : {1, 2, 30, 150}) {
    Eigen::MatrixXd l = 0.1 * random_matrix(random, size, size);
    l.diagonal().array() += 2.0;
    const Eigen::MatrixXd lower = l.triangularView<Eigen::Lower>();
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> reference(lower * lower.transpose());
    const auto [smallest, largest] = layerwise::detail::eigenvalues_of_gram(l);  // not lower: l
    CAPTURE(size);
    CHECK(smallest == doctest::Approx(reference.eigenvalues()[0]).epsilon(0.02));
    CHECK(largest == doctest::Approx(reference.eigenvalues()[size - 1]).epsilon(0.02));
    CHECK(smallest >= reference.eigenvalues()[0] * (1.0 - 1e-12));
    CHECK(largest <= reference.eigenvalues()[size - 1] * (1.0 + 1e-12));
  }
}

}  // namespace
