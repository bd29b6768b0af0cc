#include <layerwise/metrics/collapse_indices.hpp>

#include "support.hpp"

#include <layerwise/metrics/displacement.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <forward_list>
#include <limits>
#include <random>
#include <vector>

namespace {

using layerwise::collapse_indices;
using layerwise::degenerate_input_error;
using layerwise::non_finite_error;
using layerwise::shape_error;
using layerwise_test::check_throws;
using layerwise_test::near;
using layerwise_test::row_major;

TEST_CASE("worked example") {
  CHECK(collapse_indices({0.25, 0.125, 0.5, 0.0}) == std::vector<double>{1, 1, 6, 0});
  CHECK(collapse_indices({0.25}) == std::vector<double>{1});
  const Eigen::VectorXf vector = Eigen::VectorXf::Constant(3, 0.5f);
  CHECK(collapse_indices(vector) == std::vector<double>{2, 4, 6});
  CHECK(collapse_indices(std::forward_list<double>{0.5, 0.25}) == std::vector<double>{2, 2});
  // Means taken in float32 may stick out of [0, 1] a little.
  CHECK(collapse_indices({-1e-7, 0.25}) == std::vector<double>{0, 2});
}

TEST_CASE("hidden states that are sums of independent updates of equal norm: 1 in later layers") {
  std::mt19937_64 random(1);
  row_major h = layerwise_test::random_matrix(random, 200, 400);
  std::vector<double> displacements;
  for (int l = 1; l <= 40; ++l) {
    const row_major next = h + layerwise_test::random_matrix(random, 200, 400);
    displacements.push_back(layerwise::displacement(h, next).mean());
    h = next;
  }
  const std::vector<double> indices = collapse_indices(displacements);
  for (int l = 1; l <= 40; ++l) {
    const double exact = 2 * l * (1 - std::sqrt(l / (l + 1.0)));
    CHECK(indices[static_cast<std::size_t>(l - 1)] == near(exact, 0.02));
    if (l > 20) CHECK(indices[static_cast<std::size_t>(l - 1)] == near(1.0, 0.05));
  }
}

TEST_CASE("errors say what was expected, and where") {
  check_throws<shape_error>([] { collapse_indices(std::vector<double>()); }, "displacements of at least 1 layer", "0",
                            "displacements");
  check_throws<non_finite_error>([] { collapse_indices({0.5, std::numeric_limits<double>::quiet_NaN()}); },
                                 "finite values", "nan", "displacements, layer 2");
  check_throws<degenerate_input_error>([] { collapse_indices({1.5}); }, "a displacement in [0, 1]", "1.5",
                                       "displacements, layer 1");
}

}  // namespace
