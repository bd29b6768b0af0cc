#include <layerwise/metrics/rank_collapse.hpp>

#include "hard_data.hpp"
#include "laws/layer_metric_laws.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <random>
#include <vector>

namespace {

using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::layer_moments;
using layerwise::rank_collapse;
using namespace layerwise_test;

/// By its definition, in long double.
double by_rows(const row_major& x) {
  long double left = 0, all = 0;
  for (index j = 0; j < x.cols(); ++j) {
    long double mean = 0;
    for (index i = 0; i < x.rows(); ++i) mean += static_cast<long double>(x(i, j));
    mean /= static_cast<long double>(x.rows());
    for (index i = 0; i < x.rows(); ++i) {
      const auto value = static_cast<long double>(x(i, j));
      left += (value - mean) * (value - mean), all += value * value;
    }
  }
  return static_cast<double>(std::sqrt(left / all));
}

TEST_CASE("rank collapse: what changes it and what does not") {
  const auto metric = [](const auto&... of) { return rank_collapse(of...); };
  check_layer_metric(metric, {.rotation = true, .scale = true});
  check_layer_accumulator(metric, [] { return layer_moments(); });
}

TEST_CASE("worked values: five tokens of two dimensions; equal rows are 0, a mean of 0 is 1") {
  CHECK(rank_collapse(worked_pair().x).residual == near(std::sqrt(11.2 / 18.0), 1e-15));
  CHECK(rank_collapse(worked_pair().x).tokens == 5);
  row_major same(4, 3), centred(4, 1);
  same.rowwise() = Eigen::RowVector3d(0.1, -7.0, 1e5);
  centred << -3, -1, 1, 3;
  CHECK(rank_collapse(same).residual == 0.0);
  CHECK(rank_collapse(same).error_bound < 1e-6);
  CHECK(rank_collapse(centred).residual == 1.0);
}

TEST_CASE("the definition by rows, in long double, within the bound: offsets, outliers, magnitudes") {
  std::mt19937_64 random(1);
  for (const double offset : {0.0, 1.0, 1e4, 1e9})
    for (const double scale : {1.0, 0x1p500, 0x1p-500}) {
      row_major x = random_matrix(random, 800, 7);
      x.col(2) *= 1e4;
      x.array() += offset;
      const auto result = rank_collapse(row_major(x * scale));
      CAPTURE(offset);
      CHECK(std::abs(result.residual - by_rows(x)) <= result.error_bound);
      CHECK(result.error_bound < 1e-11);
    }
}

TEST_CASE("attention without skip connections collapses") {
  std::mt19937_64 random(2);
  row_major x = random_matrix(random, 30, 8);
  double before = rank_collapse(x).residual;
  for (int l = 0; l < 4; ++l) {
    row_major weights = (0.3 * x * x.transpose()).array().exp();
    for (index i = 0; i < weights.rows(); ++i) weights.row(i) /= weights.row(i).sum();
    x = weights * x;
    x /= std::sqrt(x.squaredNorm() / static_cast<double>(x.size()));
    const double after = rank_collapse(x).residual;
    CHECK(after < before);
    before = after;
  }
}

TEST_CASE("zeros are refused") {
  check_throws<degenerate_input_error>([] { rank_collapse(row_major::Zero(4, 2)); }, "an element other than 0",
                                       "only 0", "X");
}

}  // namespace
