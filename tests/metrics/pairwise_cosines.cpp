#include <layerwise/metrics/pairwise_cosines.hpp>

#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "laws/layer_metric_laws.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace {

using layerwise::index;
using layerwise::mean_squared_cosine;
using layerwise::pairwise_cosines;
using layerwise::pairwise_cosines_options;
using layerwise::token_mask;
using namespace layerwise_test;

/// In long double, pair by pair, ascending.
std::vector<double> by_pairs(const row_major& data) {
  const long_matrix x = exact_values(data);
  std::vector<double> cosines;
  for (index i = 0; i < x.rows(); ++i)
    for (index j = 0; j < i; ++j)
      cosines.push_back(static_cast<double>(x.row(i).dot(x.row(j)) / x.row(i).norm() / x.row(j).norm()));
  std::sort(cosines.begin(), cosines.end());
  return cosines;
}

TEST_CASE("pairwise cosines: what changes them and what does not") {
  const auto mean = [](const auto& w, const token_mask& mask = {}) { return pairwise_cosines(w, {}, mask); };
  check_layer_metric(mean, {.rotation = true, .scale = true, .row_lengths = true});
  const auto each = [](const auto& w, const token_mask& mask = {}) {
    return pairwise_cosines(w, {.sample = 100}, mask).cosines;
  };
  laws::layer_forms_threads_and_masks(each);
  const auto squares = [](const auto& w, const token_mask& mask = {}) { return mean_squared_cosine(w, mask); };
  check_layer_metric(squares, {.rotation = true, .scale = true, .row_lengths = true});
}

TEST_CASE("worked values: unit rows (1, 0), (0, 1), (2, 1) / sqrt 5, (1, 3) / sqrt 10, (-1, 0)") {
  const auto all = pairwise_cosines(worked_pair().x);
  const double a = std::sqrt(5.0), b = std::sqrt(10.0);
  const std::vector<double> expected{-1.0,    -2.0 / a, -1.0 / b,      0.0,     0.0,
                                     1.0 / b, 1.0 / a,  5.0 / (a * b), 2.0 / a, 3.0 / b};
  REQUIRE(all.cosines.size() == 10);
  double squares = 0.0;
  for (index k = 0; k < 10; ++k) {
    const double cosine = expected[static_cast<std::size_t>(k)];
    CHECK(std::abs(all.cosines[k] - cosine) < 1e-15);
    squares += cosine * cosine / 10.0;
  }
  CHECK(all.mean == near(0.11030036747370184));
  CHECK(all.tokens == 5);
  CHECK(all.sampled == 5);
  CHECK(mean_squared_cosine(worked_pair().x) == near(squares, 1e-14));
}

TEST_CASE("all pairs in long double, and their moments; a sample is of rows that are there") {
  std::mt19937_64 random(1);
  const row_major w = random_matrix(random, 60, 7);
  const auto all = pairwise_cosines(w);
  const auto exact = by_pairs(w);
  REQUIRE(all.cosines.size() == static_cast<index>(exact.size()));
  for (index k = 0; k < all.cosines.size(); ++k)
    CHECK(std::abs(all.cosines[k] - exact[static_cast<std::size_t>(k)]) < 1e-15);
  CHECK(all.cosines.mean() == near(all.mean, 1e-13));
  CHECK(all.cosines.squaredNorm() / 1770.0 == near(mean_squared_cosine(w), 1e-13));

  const auto some = pairwise_cosines(w, {.sample = 20});
  CHECK(some.cosines.size() == 190);
  CHECK(some.sampled == 20);
  CHECK(some.tokens == 60);
  CHECK(some.mean == all.mean);
  for (const double cosine : some.cosines)
    CHECK(std::binary_search(all.cosines.data(), all.cosines.data() + all.cosines.size(), cosine));
}

TEST_CASE("orthogonal rows and equal ones") {
  const row_major w = row_major::Identity(6, 6) * 3.0;
  CHECK(mean_squared_cosine(w) < 1e-15);
  CHECK(pairwise_cosines(w).cosines.cwiseAbs().maxCoeff() == 0.0);
  const row_major same = row_major::Constant(6, 3, -0.1);
  CHECK(mean_squared_cosine(same) == near(1.0));
  CHECK(pairwise_cosines(same).cosines[0] == near(1.0));
  CHECK(pairwise_cosines(same).cosines.maxCoeff() <= 1.0);
}

TEST_CASE("errors: options, one row, a row of zeros") {
  using layerwise::degenerate_input_error;
  row_major w = row_major::Ones(5, 2);
  check_throws<layerwise::option_error>([&] { pairwise_cosines(w, {.sample = 1}); }, "a sample of at least 2 rows", "1",
                                        "pairwise_cosines_options");
  check_throws<degenerate_input_error>([&] { pairwise_cosines(w.topRows(1)); }, "at least two tokens", "1", "X");
  check_throws<degenerate_input_error>([&] { mean_squared_cosine(w.topRows(1)); }, "at least two tokens", "1", "X");
  w.row(3).setZero();
  check_refused<degenerate_input_error>([&] { pairwise_cosines(w, {.sample = 2}); }, "X, row 3");
  check_refused<degenerate_input_error>([&] { mean_squared_cosine(w); }, "row 3");
}

}  // namespace
