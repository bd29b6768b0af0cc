#include <layerwise/metrics/norm_distribution.hpp>

#include "exact_regression.hpp"
#include "laws/layer_metric_laws.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

namespace {

using layerwise::index;
using layerwise::norm_distribution;
using layerwise::row_norms;
using layerwise::token_mask;
using namespace layerwise_test;

TEST_CASE("distribution of norms: what changes it and what does not") {
  const auto all = [](const auto& x, const token_mask& mask = {}) { return norm_distribution(x, mask); };
  check_layer_metric(all, {.rotation = true});
  const auto each = [](const auto& x, const token_mask& mask = {}) { return row_norms(x, mask); };
  laws::layer_forms_threads_and_masks(each);
}

TEST_CASE("worked values: rows of length 0, 1, 5 and 13") {
  row_major x(4, 2);
  x << 3, 4, 0, 0, 5, 12, 1, 0;
  const auto norms = norm_distribution(x);
  CHECK(norms.mean == near(19.0 / 4.0));
  CHECK(norms.root_mean_square == near(std::sqrt(195.0 / 4.0)));
  CHECK(norms.standard_deviation == near(std::sqrt(195.0 / 4.0 - 361.0 / 16.0)));
  CHECK(norms.minimum == 0.0);
  CHECK(norms.median == 3.0);
  CHECK(norms.maximum == 13.0);
  CHECK(norms.tokens == 4);
  CHECK(norms.dimensions == 2);
  CHECK(norm_distribution(x.topRows(3)).median == 5.0);
  CHECK(norm_distribution(x.topRows(1)).standard_deviation == 0.0);
  const auto zero = norm_distribution(row_major::Zero(3, 3));
  CHECK(zero.maximum == 0.0);
  CHECK(zero.root_mean_square == 0.0);
}

TEST_CASE("the definitions in long double, whatever the magnitude; a factor of a power of two to the last bit") {
  std::mt19937_64 random(1);
  for (const index n : {1, 2, 63, 64, 65, 500})
    for (const index d : {1, 5, 40})
      for (const double scale : {1.0, 1e-300, 1e300, 1e-120, 1e150}) {
        const row_major x = (random_matrix(random, n, d).array() + 10.0) * scale;
        const auto norms = norm_distribution(x);
        std::vector<long double> exact;
        long double sum = 0, squares = 0, deviations = 0;
        for (index i = 0; i < n; ++i) exact.push_back(exact_values(x).row(i).norm()), sum += exact.back();
        const long double count = static_cast<long double>(n);
        for (const long double one : exact)
          squares += one * one / count, deviations += (one - sum / count) * (one - sum / count) / count;
        std::sort(exact.begin(), exact.end());
        const std::size_t half = exact.size() / 2;
        const long double median = exact.size() % 2 == 1 ? exact[half] : (exact[half] + exact[half - 1]) / 2;
        CAPTURE(n);
        CAPTURE(scale);
        CHECK(norms.mean == near(static_cast<double>(sum / count), 1e-15));
        CHECK(norms.root_mean_square == near(static_cast<double>(std::sqrt(squares)), 1e-15));
        CHECK(std::abs(norms.standard_deviation - static_cast<double>(std::sqrt(deviations))) <= 1e-15 * norms.mean);
        CHECK(norms.minimum == near(static_cast<double>(exact.front()), 1e-15));
        CHECK(norms.median == near(static_cast<double>(median), 1e-15));
        CHECK(norms.maximum == near(static_cast<double>(exact.back()), 1e-15));
        CHECK(row_norms(x).size() == n);
        if (scale != 1.0) continue;
        for (const double factor : {0x1p-950, 0x1p-300, 0x1p900}) {
          const auto other = norm_distribution(x * factor);
          CHECK(other.mean == norms.mean * factor);
          CHECK(other.standard_deviation == norms.standard_deviation * factor);
          CHECK(other.median == norms.median * factor);
        }
      }
}

TEST_CASE("medians of the largest and of the smallest numbers") {
  row_major x(2, 1);
  for (const double one : {1.7e308, std::numeric_limits<double>::denorm_min()}) {
    x << one, one;
    CHECK(norm_distribution(x).median == one);
  }
}

TEST_CASE("norms of many that hardly differ keep their spread") {
  row_major x = row_major::Constant(20000, 1, 1e8);
  for (index i = 0; i < x.rows(); i += 2) x(i, 0) += 1e-3;
  CHECK(norm_distribution(x).standard_deviation == near(0.5e-3, 1e-4));  // 1e-3 is known to 1e-8
}

TEST_CASE("a norm beyond the range of double is an error, and the place is said") {
  row_major x = row_major::Constant(100, 4, 1.0);
  x.row(70).setConstant(1.7e308);
  check_throws<layerwise::non_finite_error>([&] { norm_distribution(x); }, "a norm within the range of double", "inf",
                                            "X, row 70");
  x(70, 2) = std::numeric_limits<double>::quiet_NaN();
  check_throws<layerwise::non_finite_error>([&] { row_norms(x); }, "finite values", "nan", "X, row 70, column 2");
}

}  // namespace
