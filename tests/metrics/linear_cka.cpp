#include <layerwise/metrics/linear_cka.hpp>

#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "laws/pair_metric_laws.hpp"
#include "support.hpp"

#include <layerwise/profile/layer_profiler.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace {

using layerwise::centering;
using layerwise::cka;
using layerwise::cross_moments;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::linear_cka;
using layerwise::non_finite_error;
using layerwise::option_error;
using layerwise::second_moments;
using layerwise::shape_error;
using namespace layerwise_test;

/// By the kernels' Gram matrices, n x n, in long double: <K, L> / (||K|| ||L||) of centred K = X X^T, L = Y Y^T.
double by_kernels(const row_major& data_x, const row_major& data_y) {
  long_matrix x = exact_values(data_x), y = exact_values(data_y);
  center_exactly(x);
  center_exactly(y);
  const long_matrix k = x * x.transpose(), l = y * y.transpose();
  return static_cast<double>(k.cwiseProduct(l).sum() / (k.norm() * l.norm()));
}

struct alignment {
  auto operator()(const auto& x, const auto& y, const layerwise::token_mask& mask = {}) const {
    return cka(x, y, mask);
  }
  auto operator()(const cross_moments& moments) const { return cka(moments); }
};

TEST_CASE("CKA: what changes it and what does not") {
  check_pair_metric(alignment(), {.rotation_x = true, .rotation_y = true, .scale = true, .shift = true},
                    [] { return cross_moments(second_moments::both); });
}

TEST_CASE("worked value: five tokens of two dimensions") {
  const auto [x, y] = worked_pair();
  CHECK(linear_cka(x, y) == near(0.9095451193959145, 2e-15));
  CHECK(cka(x, y).tokens == 5);
  CHECK(cka(x, y).error_bound < 1e-13);
}

TEST_CASE("the definition by kernels, in long double, within the bound: any widths, offsets, closeness and scale") {
  std::mt19937_64 random(1);
  for (const index n : {3, 40, 600})
    for (const double offset : {0.0, 1e4})
      for (const double noise : {1e-7, 0.3, 10.0}) {
        const row_major x = random_matrix(random, n, 6).array() + offset;
        const row_major same = x + noise * random_matrix(random, n, 6), wide = same * random_matrix(random, 6, 9);
        for (const row_major& y : {same, wide}) {
          const double expected = by_kernels(x, y);
          for (const double scale : {1.0, 0x1p400, 0x1p-400, 0x1p600, 0x1p-600}) {
            const auto result = cka(row_major(x * scale), row_major(y / scale));
            CAPTURE(offset);
            CAPTURE(noise);
            CHECK(std::abs(result.score - expected) <= result.error_bound + 1e-16);
            CHECK(result.error_bound < 1e-11);
            CHECK(result.y_dimensions == y.cols());
          }
        }
      }
}

TEST_CASE("what no one can know the bound says") {
  std::mt19937_64 random(2);
  // Variance of 1e-16 of the offset: what the data itself has of it is exact, what moments about a shift keep is not.
  row_major x = random_matrix(random, 900, 4), y = x;
  x.bottomRows(400).array() += 1e9;
  y.bottomRows(400).array() -= 1e9;
  cross_moments moments(second_moments::both), rest(second_moments::both);
  moments.add(x.topRows(500), y.topRows(500));
  rest.add(x.bottomRows(400), y.bottomRows(400));
  moments.merge(rest);
  const auto merged = cka(moments);
  CHECK(std::abs(merged.score - by_kernels(x, y)) <= merged.error_bound);
}

TEST_CASE("independent data scores what the bias makes of it; equal data 1") {
  std::mt19937_64 random(3);
  const row_major x = random_matrix(random, 64, 512), y = random_matrix(random, 64, 512);
  CHECK(linear_cka(x, y) == doctest::Approx(0.888).epsilon(0.01));
  CHECK(linear_cka(x, x) == near(1.0, 1e-14));
  CHECK(linear_cka(x, x) <= 1.0);
  row_major one(2, 1), other(2, 1);
  one << 0, 1;
  other << 3, -5;
  CHECK(linear_cka(one, other) == near(1.0, 1e-15));
}

TEST_CASE("of a profiler's layers, one call each") {
  std::mt19937_64 random(4);
  std::vector<row_major> states{random_matrix(random, 700, 8)};
  for (int l = 1; l <= 3; ++l) states.push_back(states.back() + random_matrix(random, 700, 8));
  layerwise::layer_profiler profiler;
  profiler.add(states);
  for (index l = 1; l <= 3; ++l)
    CHECK(linear_cka(profiler.moments().pair(l)) ==
          linear_cka(states[static_cast<std::size_t>(l - 1)], states[static_cast<std::size_t>(l)]));
}

TEST_CASE("variance beyond the reach of products is none; where nothing is known the bound is 1, and nothing NaN") {
  row_major tiny(40, 2), y(40, 1), x = row_major::Zero(1024, 1), steps(1024, 1);
  for (index i = 0; i < 40; ++i) tiny.row(i) << 1.0, i % 2 ? 0x1p-525 : -0x1p-525;
  for (index i = 0; i < 40; ++i) y(i, 0) = static_cast<double>(i);
  check_throws<degenerate_input_error>([&] { linear_cka(tiny, y); }, "rows that differ", "no variance", "X");
  for (index i = 0; i < 1024; ++i) {
    steps(i, 0) = i % 2 == 0 ? 0x1p-700 : -0x1p-700;
    if (i >= 512) x(i, 0) = 0x1p190 * (static_cast<double>(i % 4) - 1.5);
  }
  const auto result = cka(x, steps);
  CHECK(result.score >= 0.0);
  CHECK(result.score <= 1.0);
  CHECK(std::abs(result.score - cka(steps, x).score) <= result.error_bound);
}

TEST_CASE("errors say what was expected") {
  std::mt19937_64 random(5);
  row_major x = random_matrix(random, 20, 3), y = random_matrix(random, 20, 2);
  cross_moments input;
  input.add(x, y);
  check_throws<option_error>([&] { linear_cka(input); }, "moments of both (see second_moments::both)",
                             "moments of the input", "linear_cka");
  cross_moments both(second_moments::both);
  check_throws<degenerate_input_error>([&] { linear_cka(both); }, "at least one token", "none", "X");
  both.add(x, y);
  check_throws<option_error>([&] { cka(both.scatter(centering::none)); }, "moments about the means", "centering::none",
                             "linear_cka");
  check_throws<degenerate_input_error>([&] { linear_cka(x, row_major::Constant(20, 2, 0.1)); }, "rows that differ",
                                       "no variance", "Y");
  check_throws<degenerate_input_error>([&] { linear_cka(x.topRows(1), y.topRows(1)); }, "rows that differ",
                                       "no variance", "X");
  check_throws<shape_error>([&] { linear_cka(x, y.topRows(19)); }, "20 rows, as in X", "19 x 2", "Y");
  y(4, 1) = std::numeric_limits<double>::quiet_NaN();
  check_throws<non_finite_error>([&] { linear_cka(x, y); }, "finite values", "nan", "Y, row 4, column 1");
}

}  // namespace
