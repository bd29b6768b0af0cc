#include <layerwise/metrics/representational_similarity.hpp>

#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "laws/pair_metric_laws.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <random>
#include <vector>

namespace {

using layerwise::centering;
using layerwise::cross_moments;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::option_error;
using layerwise::representational_similarity;
using layerwise::rsa;
using layerwise::second_moments;
using namespace layerwise_test;

/// Pearson's correlation of the squared distances of all pairs of rows, one by one, in long double.
double by_distances(const row_major& data_x, const row_major& data_y) {
  const long_matrix x = exact_values(data_x), y = exact_values(data_y);
  std::vector<long double> of_x, of_y;
  for (index i = 0; i < x.rows(); ++i)
    for (index j = 0; j < i; ++j) {
      of_x.push_back((x.row(i) - x.row(j)).squaredNorm());
      of_y.push_back((y.row(i) - y.row(j)).squaredNorm());
    }
  using vector = Eigen::Matrix<long double, Eigen::Dynamic, 1>;
  vector a = vector::Map(of_x.data(), static_cast<index>(of_x.size()));
  vector b = vector::Map(of_y.data(), static_cast<index>(of_y.size()));
  a.array() -= a.mean();
  b.array() -= b.mean();
  return static_cast<double>(a.dot(b) / (a.norm() * b.norm()));
}

struct similarity {
  auto operator()(const auto& x, const auto& y, const layerwise::token_mask& mask = {}) const {
    return rsa(x, y, mask);
  }
  auto operator()(const cross_moments& moments) const { return rsa(moments); }
};

TEST_CASE("RSA: what changes it and what does not") {
  check_pair_metric(similarity(), {.rotation_x = true, .rotation_y = true, .scale = true, .shift = true},
                    [] { return cross_moments(second_moments::both); });
}

TEST_CASE("worked value: five tokens of two dimensions") {
  const auto [x, y] = worked_pair();
  CHECK(representational_similarity(x, y) == near(0.8890025269206838, 1e-14));
  CHECK(rsa(x, y).error_bound < 1e-11);
}

TEST_CASE("all distances, in long double, within the bound: widths, offsets, closeness and scale") {
  std::mt19937_64 random(1);
  for (const index n : {4, 40, 600})
    for (const double offset : {0.0, 1e4})
      for (const double noise : {1e-7, 0.3, 10.0}) {
        const row_major x = random_matrix(random, n, 6).array() + offset;
        const row_major same = x + noise * random_matrix(random, n, 6), wide = same * random_matrix(random, 6, 9);
        for (const row_major& y : {same, wide}) {
          const double expected = by_distances(x, y);
          for (const double scale : {1.0, 0x1p400, 0x1p-600}) {
            const auto result = rsa(row_major(x * scale), row_major(y / scale));
            CAPTURE(n);
            CAPTURE(offset);
            CAPTURE(noise);
            CHECK(std::abs(result.score - expected) <= result.error_bound + 1e-16);
            CHECK(result.error_bound < 1e-10);
          }
        }
      }
  const row_major x = random_matrix(random, 50, 4);
  CHECK(representational_similarity(x, x) == near(1.0, 1e-13));
  CHECK(representational_similarity(x, x) <= 1.0);
}

TEST_CASE("errors say what was expected; distances that are all equal have no correlation") {
  std::mt19937_64 random(2);
  const row_major x = random_matrix(random, 20, 3), y = random_matrix(random, 20, 2);
  cross_moments input, both(second_moments::both);
  input.add(x, y);
  both.add(x, y);
  check_throws<option_error>([&] { representational_similarity(input); }, "moments of both (see second_moments::both)",
                             "moments of the input", "representational_similarity");
  check_throws<option_error>([&] { rsa(both.scatter(centering::none)); }, "moments about the means", "centering::none",
                             "representational_similarity");
  check_throws<degenerate_input_error>([&] { rsa(x.topRows(2), y.topRows(2)); }, "3 tokens", "2",
                                       "representational_similarity");
  const row_major corners = row_major::Identity(4, 4);
  CHECK_THROWS_WITH_AS(rsa(corners, y.topRows(4)), doctest::Contains("a variance of distances above 0"),
                       degenerate_input_error);
  check_throws<degenerate_input_error>([&] { rsa(row_major::Constant(20, 2, 0.1), y); }, "rows that differ",
                                       "no variance", "X");
}

}  // namespace
