#include <layerwise/metrics/mean_pairwise_cosine.hpp>

#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "laws/layer_metric_laws.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace {

using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::mean_pairwise_cosine;
using layerwise::pairwise_cosine_contributions;
using layerwise::token_mask;
using namespace layerwise_test;

/// Pair by pair, in long double: the mean products of each dimension.
Eigen::VectorXd by_pairs(const row_major& data) {
  long_matrix x = exact_values(data);
  for (index i = 0; i < x.rows(); ++i) x.row(i) /= x.row(i).cwiseAbs().maxCoeff();
  for (index i = 0; i < x.rows(); ++i) x.row(i) /= x.row(i).norm();
  Eigen::Matrix<long double, Eigen::Dynamic, 1> sums = Eigen::Matrix<long double, Eigen::Dynamic, 1>::Zero(x.cols());
  for (index i = 0; i < x.rows(); ++i)
    for (index j = 0; j < i; ++j) sums += 2 * x.row(i).cwiseProduct(x.row(j)).transpose();
  const auto n = static_cast<long double>(x.rows());
  return (sums / (n * (n - 1))).cast<double>();
}

TEST_CASE("mean pairwise cosine: what changes it and what does not") {
  const auto mean = [](const auto& x, const token_mask& mask = {}) { return mean_pairwise_cosine(x, mask); };
  check_layer_metric(mean, {.rotation = true, .scale = true, .row_lengths = true});
  const auto all = [](const auto& x, const token_mask& mask = {}) { return pairwise_cosine_contributions(x, mask); };
  check_layer_metric(all, {.rotation = true, .scale = true, .row_lengths = true});
  const auto each = [](const auto& x, const token_mask& mask = {}) {
    return Eigen::VectorXd(pairwise_cosine_contributions(x, mask).contributions);
  };
  laws::layer_forms_threads_and_masks(each);
}

TEST_CASE("worked value: five tokens of two dimensions") {
  const row_major x = worked_pair().x;
  CHECK(mean_pairwise_cosine(x) == near(0.11030036747370184, 1e-14));
  const auto all = pairwise_cosine_contributions(x);
  // Unit rows (1, 0), (0, 1), (2, 1) / sqrt 5, (1, 3) / sqrt 10, (-1, 0).
  const double m = 2.0 / std::sqrt(5.0) + 1.0 / std::sqrt(10.0);
  CHECK(all.contributions[0] == near((m * m - 2.9) / 20.0, 1e-13));
  CHECK(all.contributions.sum() == near(all.mean, 1e-14));
  CHECK(all.tokens == 5);
  CHECK(all.dimensions == 2);
}

TEST_CASE("every pair in long double, within the bound: any shape, offset and lengths") {
  std::mt19937_64 random(1);
  for (const index n : {2, 3, 17, 128, 129, 400})
    for (const index d : {1, 2, 15, 16, 33, 300})
      for (const double offset : {0.0, 0.3, 1e6}) {
        row_major x = random_matrix(random, n, d).array() + offset;
        for (index i = 0; i < n; ++i) x.row(i) *= std::ldexp(1.0, static_cast<int>(random_index(random, -1000, 900)));
        const auto result = pairwise_cosine_contributions(x);
        const Eigen::VectorXd exact = by_pairs(x);
        CAPTURE(n);
        CAPTURE(d);
        CHECK(std::abs(result.mean - exact.sum()) <= result.error_bound);
        CHECK((result.contributions - exact).cwiseAbs().maxCoeff() <= result.error_bound);
        CHECK(result.error_bound < 1e-14);
      }
}

TEST_CASE("many tokens whose directions cancel leave what they must, to all digits") {
  for (const index half : {1, 3, 1000, 30000}) {
    std::mt19937_64 random(2);
    const row_major y = random_matrix(random, half, 8);
    row_major x(2 * half, 8);
    x << y, -2.0 * y;  // m = 0
    const double n = 2.0 * static_cast<double>(half);
    CHECK(mean_pairwise_cosine(x) == near(-1.0 / (n - 1.0), 1e-14));
    CHECK(mean_pairwise_cosine(x) >= -1.0 / (n - 1.0));
  }
  const row_major axes = row_major::Identity(400, 400);
  CHECK(mean_pairwise_cosine(axes) == 0.0);
  const row_major same = row_major::Constant(5000, 7, 0.1);
  CHECK(mean_pairwise_cosine(same) == near(1.0, 1e-15));
  CHECK(mean_pairwise_cosine(same) <= 1.0);
}

TEST_CASE("one outlier dimension makes most of the mean") {
  std::mt19937_64 random(3);
  row_major x = random_matrix(random, 500, 20);
  x.col(4).array() += 30.0;
  const auto all = pairwise_cosine_contributions(x);
  index most = -1;
  CHECK(all.contributions.maxCoeff(&most) > 0.95 * all.mean);
  CHECK(most == 4);
}

TEST_CASE("errors say what was expected") {
  std::mt19937_64 random(4);
  row_major x = random_matrix(random, 200, 3);
  check_throws<degenerate_input_error>([&] { mean_pairwise_cosine(x.topRows(1)); }, "at least two tokens", "1", "X");
  x.row(150).setZero();  // which the mean of NaN would have left out
  check_throws<degenerate_input_error>([&] { mean_pairwise_cosine(x); },
                                       "a row other than zero, where an angle is asked for", "a row of zeros",
                                       "X, row 150");
  std::vector<bool> keep(200, true);
  keep[150] = keep[3] = false;
  CHECK(std::isfinite(mean_pairwise_cosine(x, token_mask(keep))));
  x(151, 1) = std::numeric_limits<double>::infinity();
  check_throws<layerwise::non_finite_error>([&] { mean_pairwise_cosine(x, token_mask(keep)); }, "finite values", "inf",
                                            "X, row 151, column 1");
}

}  // namespace
