#include <layerwise/kernel/cholesky.hpp>

#include "exact_regression.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <utility>
#include <vector>

namespace {

using layerwise::index;
using layerwise::detail::cholesky_in_place;
using layerwise::detail::elimination_columns;
using layerwise::detail::substitute_back;
using namespace layerwise_test;

TEST_CASE("elimination and back substitution solve G a = b as long double does") {
  std::mt19937_64 random(1);
  for (const index d : {index{1}, index{5}, elimination_columns - 1, elimination_columns, elimination_columns + 1,
                        2 * elimination_columns + 30})
    for (const index targets : {1, 70}) {
      CAPTURE(d);
      CAPTURE(targets);
      const row_major x = random_matrix(random, 2 * d + 3, d);
      const Eigen::MatrixXd g = x.transpose() * x, b = random_matrix(random, d, targets);
      // What is above the diagonal must not be read.
      Eigen::MatrixXd factor = g, solution = b;
      factor.triangularView<Eigen::StrictlyUpper>().setConstant(std::numeric_limits<double>::quiet_NaN());
      REQUIRE(cholesky_in_place(factor, solution));

      const Eigen::LLT<long_matrix> exact(g.cast<long double>());
      const long_matrix lower = exact.matrixL();
      const long_matrix found = long_matrix(factor.cast<long double>().triangularView<Eigen::Lower>());
      const auto scale = static_cast<double>(lower.cwiseAbs().maxCoeff());
      CHECK(static_cast<double>((found - lower).cwiseAbs().maxCoeff()) < 1e-13 * scale);
      const long_matrix half = exact.matrixL().solve(b.cast<long double>());
      CHECK(static_cast<double>((solution.cast<long double>() - half).norm()) <
            1e-12 * static_cast<double>(half.norm()));
      substitute_back(factor, solution);
      const long_matrix expected = exact.solve(b.cast<long double>());
      CHECK(static_cast<double>((solution.cast<long double>() - expected).norm()) <
            1e-12 * static_cast<double>(expected.norm()));
    }
}

TEST_CASE("so it does where the first part is as large as it gets, by what is left of the equations") {
  std::mt19937_64 random(2);
  const index d = 15 * elimination_columns + 1;
  REQUIRE(layerwise::detail::first_part(d) == 7 * elimination_columns);
  const row_major x = random_matrix(random, 2 * d, d);
  const Eigen::MatrixXd g = x.transpose() * x, b = random_matrix(random, d, 50);
  Eigen::MatrixXd factor = g, solution = b;
  REQUIRE(cholesky_in_place(factor, solution));
  substitute_back(factor, solution);
  CHECK((g * solution - b).norm() < 1e-13 * g.norm() * solution.norm());
  CHECK((Eigen::LLT<Eigen::MatrixXd>(g).solve(b) - solution).norm() < 1e-11 * solution.norm());
}

TEST_CASE("a matrix that is not positive definite is refused, wherever that shows") {
  for (const index wrong : {index{0}, index{50}, elimination_columns, 2 * elimination_columns}) {
    Eigen::MatrixXd g = Eigen::MatrixXd::Identity(2 * elimination_columns + 1, 2 * elimination_columns + 1);
    g(wrong, wrong) = -1e-3;
    Eigen::MatrixXd b = Eigen::MatrixXd::Ones(g.rows(), 2);
    CAPTURE(wrong);
    CHECK_FALSE(cholesky_in_place(g, b));
  }
}

TEST_CASE("forward and back substitution invert L and L^T, and read nothing above the diagonal") {
  std::mt19937_64 random(3);
  for (const index d : {index{0}, index{1}, elimination_columns, 3 * elimination_columns + 5})
    for (const index targets : {1, 30}) {
      Eigen::MatrixXd l = random_matrix(random, d, d) / std::sqrt(static_cast<double>(d + 1));
      l.diagonal().array() += 3.0;
      const Eigen::MatrixXd lower = l.triangularView<Eigen::Lower>();
      const Eigen::MatrixXd b = random_matrix(random, d, targets);
      l.triangularView<Eigen::StrictlyUpper>().setConstant(std::numeric_limits<double>::quiet_NaN());
      Eigen::MatrixXd forward = b, back = b;
      layerwise::detail::substitute_forward(l, forward);
      substitute_back(l, back);
      CAPTURE(d);
      CHECK((lower * forward - b).norm() <= 1e-13 * b.norm());
      CHECK((lower.transpose() * back - b).norm() <= 1e-13 * b.norm());
    }
}

TEST_CASE("pivoted Cholesky reproduces its matrix and reveals the rank, with decreasing pivots") {
  std::mt19937_64 random(12);
  for (const auto& [d, rank] : std::vector<std::pair<index, index>>{{1, 1}, {6, 6}, {12, 5}, {50, 31}}) {
    const Eigen::MatrixXd factor = random_matrix(random, d, rank);
    const Eigen::MatrixXd g = factor * factor.transpose();
    const layerwise::detail::pivoted_cholesky cholesky(g, d, 1e-12 * g.diagonal().maxCoeff());
    REQUIRE(cholesky.rank() == rank);
    const Eigen::VectorXd roots = cholesky.l.diagonal();
    CHECK(std::is_sorted(roots.begin(), roots.end(), std::greater<>()));
    const Eigen::MatrixXd permuted = g(cholesky.order, cholesky.order);
    const double size = g.cwiseAbs().maxCoeff();
    CHECK((cholesky.l * cholesky.l.transpose() - permuted).cwiseAbs().maxCoeff() < 1e-13 * size);
    CHECK(cholesky.left.size() == d - rank);
    if (rank < d) CHECK(cholesky.left.maxCoeff() < 1e-12 * size);
    // Cut short, what is left is the trace of the rest.
    const layerwise::detail::pivoted_cholesky shorter(g, rank / 2, 0.0);
    CHECK(shorter.rank() == rank / 2);
    CHECK(shorter.left.sum() == doctest::Approx(g.trace() - shorter.l.squaredNorm()));
  }
}

}  // namespace
