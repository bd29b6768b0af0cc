#include <layerwise/training/mse.hpp>

#include "training/regularizer_checks.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <random>
#include <utility>

namespace {

using layerwise::index;
using layerwise::mse_regularizer;
using layerwise::non_finite_error;
using layerwise::reduction;
using namespace layerwise_test;

TEST_CASE("worked example") {
  const states h = worked_example();
  CHECK(mse_regularizer{2}.value(h) == 2 * ((2. + 5) + (25 + 25)) / 2);
  CHECK(mse_regularizer{2, reduction::sum}.value(h) == 2 * ((2. + 5) + (25 + 25)));

  states g = zeros_like(h);
  CHECK(mse_regularizer{2}.value_and_gradient(h, g) == 57);
  CHECK(g[0] == (row_major(2, 2) << 2, -2, -6, -8).finished());
  CHECK(g[1] == (row_major(2, 2) << -6, 4, 0, 0).finished());
  CHECK(g[2] == (row_major(2, 2) << 4, -2, 6, 8).finished());
}

TEST_CASE("a step does not see the origin: the gradients of a token add up to nothing") {
  std::mt19937 random(4);
  for (int i = 0; i < 20; ++i) {
    const index n = 3 + i, d = 2 + i;
    const states h = random_states(random, 4, n, d);
    states steps_gradient = zeros_like(h);
    mse_regularizer{1}.value_and_gradient(h, steps_gradient);
    row_major total = row_major::Zero(n, d);
    for (const row_major& m : steps_gradient) total += m;
    CHECK(total.cwiseAbs().maxCoeff() < 1e-14);
  }
}

TEST_CASE("squares of steps that overflow, and differences that do, with a lambda that brings them back") {
  const std::pair<double, double> lambdas[] = {{1e-180, 1e300}, {1e160, 1e-290}, {1.5e308, 0x1p-1040}};
  for (const auto& [a, lambda] : lambdas) {
    const row_major u = row_major::Constant(2, 3, a);
    const states extreme{u, -u, u};
    states g = zeros_like(extreme);
    const double value = mse_regularizer{lambda}.value_and_gradient(extreme, g);
    CHECK(value == near(static_cast<double>(24 * static_cast<long double>(lambda) * static_cast<long double>(a) *
                                            static_cast<long double>(a))));
    const auto times_a = [size = a, weight = lambda](double factor) {
      return near(static_cast<double>(static_cast<long double>(weight) * static_cast<long double>(size) * factor));
    };
    CHECK(g[0](1, 2) == times_a(2));
    CHECK(g[1](1, 2) == times_a(-4));
    CHECK(g[2](0, 0) == times_a(2));
  }
}

TEST_CASE("a value beyond the range of double is refused") {
  const states far{row_major::Constant(2, 1, -1e200), row_major::Constant(2, 1, 1e200)};
  check_throws<non_finite_error>([&] { (void)mse_regularizer{1}.value(far); }, "a value within the range of double",
                                 "inf", "regularizer");
  check_throws<non_finite_error>([&] { (void)mse_regularizer{-1}.value(far); }, "a value within the range of double",
                                 "-inf", "regularizer");
}

}  // namespace
