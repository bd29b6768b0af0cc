#include <layerwise/metrics/jump_rate.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cstddef>
#include <forward_list>
#include <limits>
#include <random>
#include <vector>

namespace {

using layerwise::index;
using layerwise::jump_rate;
using layerwise::jump_rates;
using layerwise::non_finite_error;
using layerwise::shape_error;
using layerwise_test::check_throws;
using layerwise_test::near;

std::vector<double> random_displacements(std::mt19937& random, index layers) {
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<double> psi(static_cast<std::size_t>(layers));
  for (double& value : psi) value = uniform(random);
  return psi;
}

TEST_CASE("worked example") {
  // The rises are 0.25 into layer 3 and 0.5 into layer 5.
  const std::vector<double> psi{0.5, 0.25, 0.5, 0.125, 0.625};
  CHECK(jump_rate(psi) == 50);
  CHECK(jump_rate(psi, 5) == 50);
  CHECK(jump_rate(psi, 4) == 50);
  CHECK(jump_rate(psi, 3) == 75);
  CHECK(jump_rate(psi, 2) == 75);
  CHECK(jump_rates(psi) == std::vector<double>{75, 75, 50, 50});
}

TEST_CASE("the definition, over random profiles") {
  std::mt19937 random(1);
  for (index layers = 2; layers <= 40; ++layers) {
    const std::vector<double> psi = random_displacements(random, layers);
    const auto at = [&](index k) { return psi[static_cast<std::size_t>(k - 1)]; };
    const std::vector<double> rates = jump_rates(psi);
    REQUIRE(static_cast<index>(rates.size()) == layers - 1);
    CHECK(jump_rate(psi) == jump_rate(psi, layers));
    for (index l = 2; l <= layers; ++l) {
      double sum = 0;
      for (index k = l; k <= layers; ++k) sum += std::max(0., at(k) - at(k - 1));
      if (sum > 0) CHECK(jump_rate(psi, l) == near(100 * sum));
      if (sum == 0) CHECK(jump_rate(psi, l) == 0);
      CHECK(jump_rate(psi, l) == rates[static_cast<std::size_t>(l - 2)]);
      if (l > 2) CHECK(jump_rate(psi, l) <= jump_rate(psi, l - 1));
    }
  }
}

TEST_CASE("rises and falls add up to the difference of the ends") {
  std::mt19937 random(2);
  for (int i = 0; i < 50; ++i) {
    const std::vector<double> psi = random_displacements(random, 2 + i);
    const std::vector<double> backwards(psi.rbegin(), psi.rend());
    CHECK(jump_rate(psi, 2) - jump_rate(backwards, 2) == near(100 * (psi.back() - psi.front()), 1e-11));
  }
}

TEST_CASE("a displacement that only falls does not jump, one that only rises jumps by its rise") {
  CHECK(jump_rates(std::vector<double>{0.9, 0.5, 0.5, 0.1}) == std::vector<double>{0, 0, 0});
  CHECK(jump_rate(std::vector<double>{0, 0.3, 0.7, 1}, 2) == near(100, 1e-6));
  CHECK(jump_rate(std::vector<double>{0, 1}) == 100);
}

TEST_CASE("any range of numbers will do") {
  const std::vector<double> psi{0.5, 0.25, 0.75};
  CHECK(jump_rate(Eigen::Vector3d(0.5, 0.25, 0.75)) == 50);
  CHECK(jump_rate(Eigen::RowVectorXd(Eigen::RowVector3d(0.5, 0.25, 0.75)), 3) == 50);
  CHECK(jump_rate(Eigen::VectorXf(Eigen::Vector3f(0.5f, 0.25f, 0.75f)), 2) == 50);
  CHECK(jump_rate(std::vector<float>{0.5f, 0.25f, 0.75f}) == 50);
  CHECK(jump_rate(std::forward_list<double>{0.5, 0.25, 0.75}) == 50);
  CHECK(jump_rate({0.5, 0.25, 0.75}) == 50);
  CHECK(jump_rate({0.5, 0.25, 0.75}, 2) == 50);
  CHECK(jump_rates({0.5, 0.25, 0.75}) == jump_rates(psi));
}

TEST_CASE("means that rounding has put just outside [0, 1] are accepted") {
  CHECK(jump_rate({-5e-8, 1 + 1e-7}) == near(100, 1e-6));
}

TEST_CASE("bad displacements are refused, with the layer") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  check_throws<shape_error>([] { (void)jump_rate(std::vector<double>{}); }, "displacements of at least 2 layers", "0",
                            "displacements");
  check_throws<shape_error>([] { (void)jump_rates({0.5}); }, "displacements of at least 2 layers", "1",
                            "displacements");
  check_throws<non_finite_error>([&] { (void)jump_rate({0.1, nan, 0.1}); }, "finite values", "nan",
                                 "displacements, layer 2");
  check_throws<non_finite_error>([&] { (void)jump_rate({0.1, 0.1, -infinity}, 2); }, "finite values", "-inf",
                                 "displacements, layer 3");
  check_throws<layerwise::degenerate_input_error>([] { (void)jump_rate({1.5, 0.1}); }, "a displacement in [0, 1]",
                                                  "1.5", "displacements, layer 1");
  check_throws<layerwise::degenerate_input_error>([] { (void)jump_rate({0.1, -0.25}); }, "a displacement in [0, 1]",
                                                  "-0.25", "displacements, layer 2");
}

TEST_CASE("a layer outside 2..L is refused") {
  const std::vector<double> psi{0.1, 0.2, 0.3};
  for (const index l : {-1, 0, 1, 4})
    check_throws<shape_error>([&] { (void)jump_rate(psi, l); }, "l in 2..3", std::to_string(l), "jump_rate");
  CHECK_NOTHROW(jump_rate(psi, 2));
  CHECK_NOTHROW(jump_rate(psi, 3));
}

}  // namespace
