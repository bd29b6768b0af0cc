#include <layerwise/detail/cholesky.hpp>

#include "exact_regression.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include <limits>
#include <random>

namespace {

using layerwise::index;
using layerwise::detail::eliminate;
using layerwise::detail::elimination_columns;
using layerwise::detail::substitute_back;
using namespace layerwise_test;

TEST_CASE("elimination and back substitution solve G a = b as long double does") {
  std::mt19937_64 random(1);
  for (const index d : {index{1}, index{5}, elimination_columns - 1, elimination_columns,
                        elimination_columns + 1, 2 * elimination_columns + 30})
    for (const index targets : {1, 70}) {
      CAPTURE(d);
      CAPTURE(targets);
      const row_major x = random_matrix(random, 2 * d + 3, d);
      const Eigen::MatrixXd g = x.transpose() * x, b = random_matrix(random, d, targets);
      // What is above the diagonal must not be read.
      Eigen::MatrixXd factor = g, solution = b;
      factor.triangularView<Eigen::StrictlyUpper>().setConstant(std::numeric_limits<double>::quiet_NaN());
      REQUIRE(eliminate(factor, solution));

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
  REQUIRE(eliminate(factor, solution));
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
    CHECK_FALSE(eliminate(g, b));
  }
}

}  // namespace
