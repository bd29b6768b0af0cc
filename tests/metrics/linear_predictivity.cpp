#include <layerwise/metrics/linear_predictivity.hpp>

#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "identical.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <random>

namespace {

using layerwise::centering;
using layerwise::cross_moments;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::linear_predictivity;
using layerwise::linearity;
using layerwise::option_error;
using layerwise::second_moments;
using layerwise::solver;
using namespace layerwise_test;

cross_moments moments_of(const row_major& x, const row_major& y) {
  cross_moments moments(second_moments::both);
  moments.add(x, y);
  return moments;
}

TEST_CASE("worked values: five tokens of two dimensions, both ways") {
  const auto [x, y] = worked_pair();
  for (const auto& result : {linear_predictivity(x, y), linear_predictivity(moments_of(x, y))}) {
    CHECK(result.forward.score == near(0.9914383561643835, 1e-14));
    CHECK(result.backward.score == near(0.9861382909328118, 1e-14));
    CHECK(result.backward.tokens == 5);
  }
}

TEST_CASE("of matrices: two linearities to the last bit; of moments the first of them, too") {
  std::mt19937_64 random(1);
  const row_major x = random_matrix(random, 90, 6), y = x.leftCols(4) + random_matrix(random, 90, 4);
  const auto result = linear_predictivity(x, y);
  check_identical(result.forward, linearity(x, y));
  check_identical(result.backward, linearity(y, x));
  check_identical(linear_predictivity(moments_of(x, y)).forward, linearity(moments_of(x, y)));
  check_identical(linear_predictivity(x, y), {linearity(x, y), linearity(y, x)});
}

TEST_CASE("backward of moments, in long double, within the bound: hard data, updates, centred or not, any scale") {
  std::mt19937_64 random(2);
  for (const target_kind target : {target_kind::map_and_noise, target_kind::update, target_kind::mixed})
    for (const double condition : {1.0, 100.0})
      for (const double offset : {0.0, 100.0})
        for (const double scale : {1.0, 0x1p400, 0x1p-400}) {
          const auto [x, y] = make_data(random, {.n = 700,
                                                 .d_x = 6,
                                                 .d_y = 6,
                                                 .target = target,
                                                 .level = 0.1,
                                                 .condition = condition,
                                                 .outlier = 30.0,
                                                 .offset = offset});
          for (const centering center : {centering::columns, centering::none}) {
            const auto exact = regress_exactly(y, x, center == centering::columns);
            const auto result = linear_predictivity(moments_of(x * scale, y / scale), {.centering = center}).backward;
            CAPTURE(condition);
            CAPTURE(offset);
            CHECK(std::abs(result.score - static_cast<double>(exact.score())) <= result.error_bound);
            CHECK(result.error_bound < 1e-4);
            CHECK(result.rank == 6);
          }
        }
}

TEST_CASE("dependent columns of Y, few tokens, and what the moments do not tell") {
  std::mt19937_64 random(3);
  const row_major x = random_matrix(random, 80, 5);
  row_major y(80, 4);
  y << x.leftCols(2) + random_matrix(random, 80, 2), x.leftCols(2);
  y.col(3) = y.col(2) * 2.0;
  const auto result = linear_predictivity(moments_of(x, y)).backward;
  CHECK(result.rank == 3);
  CHECK(std::abs(result.score - static_cast<double>(regress_exactly(y, x).score())) <= result.error_bound);
  const auto few = linear_predictivity(moments_of(x.topRows(4), y.topRows(4))).backward;
  CHECK(few.underdetermined);
  CHECK(few.score == 1.0);
}

TEST_CASE("what is refused") {
  const auto [x, y] = worked_pair();
  cross_moments input;
  input.add(x, y);
  check_throws<option_error>([&] { linear_predictivity(input); }, "moments of both (see second_moments::both)",
                             "moments of the input", "linear_predictivity");
  check_throws<option_error>([&, &x = x, &y = y] { linear_predictivity(moments_of(x, y), {.tolerance = -1.0}); },
                             "a finite tolerance >= 0", "-1", "linearity_options");
  check_throws<degenerate_input_error>([&, &x = x] { linear_predictivity(x, row_major::Constant(5, 2, 0.1)); },
                                       "rows that differ", "no variance", "Y");
  check_throws<degenerate_input_error>([] { linear_predictivity(cross_moments(second_moments::both)); },
                                       "at least one token", "none", "X");
}

}  // namespace
