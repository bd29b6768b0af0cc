#include <layerwise/training/jreg.hpp>

#include <layerwise/metrics/displacement.hpp>

#include "training/regularizer_checks.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <vector>

namespace {

using layerwise::cosine_regularizer;
using layerwise::index;
using layerwise::jreg_regularizer;
using layerwise::reduction;
using layerwise::token_mask;
using namespace layerwise_test;

TEST_CASE("worked example") {
  const states h = worked_example();
  CHECK(jreg_regularizer{.lambda = 1, .alpha = 0}.value(h) == 0.25);
  CHECK(jreg_regularizer{1, 2, reduction::sum}.value(h) == near(0.5));
}

TEST_CASE("alpha moves JREG's weight between the layers") {
  std::mt19937 random(6);
  const states h = random_states(random, 5, 7, 6);
  std::vector<double> psi;
  for (std::size_t l = 1; l < h.size(); ++l) psi.push_back(layerwise::displacement(h[l - 1], h[l]).mean());

  CHECK(jreg_regularizer{3, 0}.value(h) == near(3 * (psi[0] + psi[1] + psi[2] + psi[3]) / 4));
  CHECK(jreg_regularizer{3, 0}.value(h) == near(cosine_regularizer{3}.value(h) / 8));
  CHECK(jreg_regularizer{3, infinity}.value(h) == near(3 * psi[3]));
  CHECK(jreg_regularizer{3, -infinity}.value(h) == near(3 * psi[0]));
  for (const double alpha : {1e3, 1e308}) {
    CHECK(jreg_regularizer{3, alpha}.value(h) == jreg_regularizer{3, infinity}.value(h));
    CHECK(jreg_regularizer{3, -alpha}.value(h) == jreg_regularizer{3, -infinity}.value(h));
  }
  double expected = 0, sum = 0;
  for (int l = 1; l <= 4; ++l) {
    expected += std::exp(0.7 * l) * psi[static_cast<std::size_t>(l - 1)];
    sum += std::exp(0.7 * l);
  }
  CHECK(jreg_regularizer{3, 0.7}.value(h) == near(3 * expected / sum));

  // Only the two layers of the only step that counts have a gradient.
  states g = zeros_like(h);
  jreg_regularizer{3, infinity}.value_and_gradient(h, g);
  for (std::size_t l = 0; l < 3; ++l) CHECK(g[l].isZero(0));
  CHECK_FALSE(g[3].isZero());
  CHECK_FALSE(g[4].isZero());
}

TEST_CASE("some layers, a constant side and a mask, with rows far out of the range of their squares") {
  using layerwise::stop_gradient;
  std::mt19937 random(15);
  const index n = 9, d = 7;
  const states h = random_states(random, 5, n, d);
  const int powers[] = {900, -900, 0, -1000, 1000};  // of two: a turn does not see them
  states scaled = h;
  for (std::size_t l = 0; l < h.size(); ++l) scaled[l] *= std::exp2(powers[l]);
  const token_mask mask = token_mask::skip_first(n, 3, 1);
  for (const auto stop : {stop_gradient::none, stop_gradient::before, stop_gradient::after})
    for (const double alpha : {-infinity, -0.5, 2.0, infinity}) {
      const jreg_regularizer regularizer{
          .lambda = 3, .alpha = alpha, .layers = {.first = 2, .last = 4}, .stop_gradient = stop};
      // -0 is what it was only where nothing was added, not even 0.
      states g(5, row_major::Constant(n, d, -0.0)), of_scaled = g;
      const double value = regularizer.value_and_gradient(h, g, mask);
      CHECK(regularizer.value_and_gradient(scaled, of_scaled, mask) == near(value, 1e-15));
      for (std::size_t l = 0; l < h.size(); ++l)
        for (index t = 0; t < n; ++t)
          for (index j = 0; j < d; ++j)
            if (l == 0 || !mask.keeps(t)) {
              CHECK(std::signbit(g[l](t, j)));
              CHECK(std::signbit(of_scaled[l](t, j)));
            } else {
              const double back = of_scaled[l](t, j) * std::exp2(powers[l]);
              CHECK(std::abs(back - g[l](t, j)) <= 1e-15 * std::max(1.0, 1 / h[l].row(t).norm()));
            }
    }
}

}  // namespace
