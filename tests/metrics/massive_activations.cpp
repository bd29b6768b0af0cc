#include <layerwise/metrics/massive_activations.hpp>

#include "identical.hpp"
#include "laws/layer_metric_laws.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace {

using layerwise::activation;
using layerwise::index;
using layerwise::massive_activations;
using layerwise::massive_activations_options;
using layerwise::massive_activations_result;
using layerwise::option_error;
using layerwise::token_mask;
using namespace layerwise_test;

/// By sorting all elements.
massive_activations_result by_sorting(const row_major& x, const massive_activations_options& options) {
  massive_activations_result out;
  std::vector<double> sizes;
  for (index i = 0; i < x.rows(); ++i)
    for (index j = 0; j < x.cols(); ++j) out.largest.push_back({x(i, j), i, j}), sizes.push_back(std::abs(x(i, j)));
  std::stable_sort(out.largest.begin(), out.largest.end(),
                   [](const activation& a, const activation& b) { return std::abs(a.value) > std::abs(b.value); });
  std::sort(sizes.begin(), sizes.end());
  out.peak = sizes.back();
  out.median = std::midpoint(sizes[(sizes.size() - 1) / 2], sizes[sizes.size() / 2]);
  for (const double size : sizes)
    if (size > options.least && size >= options.times_median * out.median) ++out.massive;
  out.largest.resize(std::min(out.largest.size(), static_cast<std::size_t>(options.count)));
  out.tokens = x.rows(), out.dimensions = x.cols();
  return out;
}

void check_equal(const massive_activations_result& a, const massive_activations_result& b) {
  check_identical(a, b);
  REQUIRE(a.largest.size() == b.largest.size());
  for (std::size_t k = 0; k < a.largest.size(); ++k) {
    CHECK(a.largest[k].value == b.largest[k].value);
    CHECK(a.largest[k].token == b.largest[k].token);
    CHECK(a.largest[k].dimension == b.largest[k].dimension);
  }
}

TEST_CASE("massive activations: matrices, masks, threads and errors") {
  const auto metric = [](const auto& x, const token_mask& mask = {}) { return massive_activations(x, {}, mask); };
  laws::layer_forms_threads_and_masks(metric);
  laws::layer_refusals(laws::untyped_layer(metric));
}

TEST_CASE("worked example: two massive ones, with their tokens and dimensions") {
  row_major x = row_major::Constant(6, 5, 0.5);
  x(0, 3) = -1500.0, x(4, 3) = 800.0, x(2, 1) = 90.0;
  const auto found = massive_activations(x);
  check_equal(found, by_sorting(x, {}));
  CHECK(found.massive == 2);
  CHECK(found.median == 0.5);
  CHECK(found.peak == 1500.0);
  CHECK(found.largest[0].value == -1500.0);
  CHECK(found.largest[1].token == 4);
  CHECK(found.largest[1].dimension == 3);
  CHECK(found.largest[2].value == 90.0);
  CHECK(massive_activations(x, {.least = 80.0, .times_median = 100.0}).massive == 3);
  CHECK(massive_activations(x, {.count = 1, .least = 80.0, .times_median = 100.0}).massive == 3);
  CHECK(massive_activations(x, {.least = 0.0, .times_median = 1600.0}).massive == 2);  // "at least"
  CHECK(massive_activations(x, {.least = 800.0}).massive == 1);                        // "above"
  CHECK(massive_activations(x, {.count = 100}).largest.size() == 30);
  // Tokens are counted among all, whatever the mask.
  CHECK(
      massive_activations(x, {}, token_mask(std::vector<bool>{false, true, true, true, true, true})).largest[0].token ==
      4);
}

TEST_CASE("as by sorting all elements: any shape, ties, zeros, scalar type and magnitude") {
  std::mt19937_64 random(1);
  for (const index n : {1, 2, 15, 16, 17, 300})
    for (const index d : {1, 3, 40})
      for (const int kind : {0, 1, 2, 3, 4, 5}) {
        row_major x = random_matrix(random, n, d);
        if (kind == 1) x = x.array().round();  // ties
        if (kind == 2) x = x.cast<float>().cast<double>();
        if (kind == 3) x = (x.array() > 0.5).select(x, 0.0);  // zeros in the middle
        if (kind == 4) x = x.array().pow(3.0) * 1e300;
        if (kind == 5) x = 1.0 + x.array() * 1e-15;  // the last bits differ
        for (const massive_activations_options options : {massive_activations_options(),
                                                          {.count = 7, .least = 0.5, .times_median = 1.0},
                                                          {.count = 50, .least = 0.0}}) {
          CAPTURE(n);
          CAPTURE(d);
          CAPTURE(kind);
          check_equal(massive_activations(x, options), by_sorting(x, options));
        }
      }
}

TEST_CASE("the median digit by digit, where few elements are few") {
  std::mt19937_64 random(2);
  for (const index n : {1, 2, 9, 500})
    for (const double spread : {1.0, 1e-3, 1e-9, 1e-15, 0.0}) {
      const row_major x = 3.0 + spread * random_matrix(random, n, 2).array();
      const layerwise::detail::row_reader rows(x);
      const std::vector<index> tokens = token_mask().rows(n);
      const layerwise::detail::row_source source = layerwise::detail::layer_source(rows, tokens);
      const layerwise::detail::element_walk walk(source, 2);
      for (const index few : {0, 1, 20}) {
        CAPTURE(spread);
        CHECK(layerwise::detail::median_magnitude(walk).find(few) == by_sorting(x, {}).median);
      }
    }
}

TEST_CASE("errors say what was expected") {
  const row_major x = row_major::Ones(3, 3);
  check_throws<option_error>([&] { massive_activations(x, {.count = 0}); }, "a count >= 1", "0",
                             "massive_activations_options");
  check_throws<option_error>([&] { massive_activations(x, {.least = -1.0}); }, "a finite threshold >= 0", "-1",
                             "massive_activations_options");
  check_throws<option_error>(
      [&] { massive_activations(x, {.times_median = std::numeric_limits<double>::quiet_NaN()}); },
      "a finite threshold >= 0", "nan", "massive_activations_options");
}

}  // namespace
