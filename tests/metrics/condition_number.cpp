#include <layerwise/metrics/condition_number.hpp>

#include "exact_regression.hpp"
#include "exact_svd.hpp"
#include "laws/layer_metric_laws.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

namespace {

using layerwise::condition_number;
using layerwise::index;
using layerwise::singular_spectrum;
using layerwise::token_mask;
using namespace layerwise_test;

/// U diag(values) V^T with random rotations, rows x cols.
row_major with_values(std::mt19937_64& random, index rows, index cols, const Eigen::VectorXd& values) {
  const index k = values.size();
  return random_orthogonal(random, rows).leftCols(k) * values.asDiagonal() * random_orthogonal(random, cols).topRows(k);
}

TEST_CASE("condition number: what changes it and what does not") {
  const auto number = [](const auto& w, const token_mask& mask = {}) { return condition_number(w, mask); };
  check_layer_metric(number, {.rotation = true, .scale = true});
  const auto all = [](const auto& w, const token_mask& mask = {}) { return singular_spectrum(w, mask); };
  laws::layer_forms_threads_and_masks(all);
  laws::layer_refusals(laws::untyped_layer(all));
}

TEST_CASE("worked values: (3, 0; 4, 5) has the singular values sqrt 45 and sqrt 5; a diagonal its entries") {
  row_major w(2, 2);
  w << 3, 0, 4, 5;
  const auto s = singular_spectrum(w);
  CHECK(s.singular_values[0] == near(std::sqrt(45.0)));
  CHECK(s.singular_values[1] == near(std::sqrt(5.0)));
  CHECK(s.condition == near(3.0));
  CHECK(condition_number(w) == s.condition);
  CHECK(s.stable_rank == near(50.0 / 45.0));
  CHECK(s.frobenius_norm == near(std::sqrt(50.0)));
  CHECK(s.rank == 2);
  CHECK(s.condition_error < 1e-13);

  row_major diagonal = row_major::Zero(7, 3);
  diagonal(0, 0) = -2, diagonal(5, 1) = 8, diagonal(6, 2) = 0.5;
  CHECK(condition_number(diagonal) == near(16.0));
  CHECK(condition_number(diagonal.transpose()) == near(16.0));
  CHECK(singular_spectrum(diagonal).tokens == 7);
  CHECK(singular_spectrum(diagonal.transpose()).tokens == 3);
  CHECK(singular_spectrum(diagonal.transpose()).dimensions == 7);
  CHECK(condition_number(diagonal.col(1)) == 1.0);
}

TEST_CASE("random matrices against rotations in long double, within the bounds") {
  std::mt19937_64 random(1);
  for (const auto& [rows, cols] : std::vector<std::pair<index, index>>{{1, 1}, {1, 9}, {30, 30}, {70, 20}, {12, 90}}) {
    const row_major w = random_matrix(random, rows, cols);
    const auto exact = exact_singular_values(exact_values(w));
    const auto s = singular_spectrum(w);
    CAPTURE(rows);
    CAPTURE(cols);
    REQUIRE(s.singular_values.size() == static_cast<index>(exact.size()));
    for (index k = 0; k < s.singular_values.size(); ++k)
      CHECK(std::abs(s.singular_values[k] - static_cast<double>(exact[static_cast<std::size_t>(k)])) <= s.error_bound);
    CHECK(s.error_bound < 1e-11);
    const double condition = static_cast<double>(exact.front() / exact.back());
    CHECK(std::abs(s.condition - condition) <= s.condition_error);
    CHECK(s.condition_error < 1e-10 * condition);
    CHECK(s.rank == std::min(rows, cols));
  }
}

TEST_CASE("conditions that eigenvalues of W^T W can't tell: 1e6 to 1e13") {
  std::mt19937_64 random(2);
  for (const double condition : {1e6, 1e10, 1e13}) {
    Eigen::VectorXd values = Eigen::VectorXd::Constant(8, 0.3);
    values[0] = 1.0, values[7] = 1.0 / condition;
    for (const auto& [rows, cols] : std::vector<std::pair<index, index>>{{8, 8}, {300, 8}, {8, 300}}) {
      const row_major w = with_values(random, rows, cols, values);  // which rounds the values by 1e-16
      const auto s = singular_spectrum(w);
      CAPTURE(condition);
      CHECK(s.condition == near(condition, 1e-15 * condition));
      CHECK(s.rank == 8);
    }
  }
}

TEST_CASE("a matrix of lower rank has an infinite condition, and says its rank") {
  std::mt19937_64 random(3);
  for (const auto& [rows, cols] : std::vector<std::pair<index, index>>{{40, 40}, {90, 30}, {30, 200}}) {
    const auto s = singular_spectrum(with_values(random, rows, cols, Eigen::VectorXd::LinSpaced(10, 1.0, 2.0)));
    CHECK(std::isinf(s.condition));
    CHECK(std::isinf(s.condition_error));
    CHECK(s.rank == 10);
    CHECK(s.stable_rank == near(Eigen::VectorXd::LinSpaced(10, 1.0, 2.0).squaredNorm() / 4.0, 1e-13));
  }
  CHECK(std::isinf(condition_number(row_major::Ones(5, 2))));
}

TEST_CASE("any magnitude; norms beyond the range of double, and what is no matrix of numbers, are errors") {
  std::mt19937_64 random(4);
  const row_major w = random_matrix(random, 20, 6);
  const auto s = singular_spectrum(w);
  for (const double factor : {0x1p-1000, 0x1p1000}) {
    const auto other = singular_spectrum(w * factor);
    CHECK(other.condition == s.condition);
    CHECK(other.singular_values[5] == s.singular_values[5] * factor);
    CHECK(other.frobenius_norm == s.frobenius_norm * factor);
  }
  const row_major huge = row_major::Constant(1, 4, 1.7e308);
  CHECK(condition_number(huge) == 1.0);
  check_throws<layerwise::non_finite_error>([&] { singular_spectrum(huge); }, "a norm within the range of double",
                                            "inf", "X");
  check_throws<layerwise::degenerate_input_error>([&] { condition_number(row_major::Zero(3, 2)); },
                                                  "a matrix that is not zero", "3 x 2", "X");
}

}  // namespace
