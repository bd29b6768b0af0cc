#include <layerwise/metrics/fast_weight.hpp>

#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "laws/pair_metric_laws.hpp"
#include "support.hpp"

#include <layerwise/metrics/linearity.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace {

using layerwise::centering;
using layerwise::cross_moments;
using layerwise::degenerate_input_error;
using layerwise::delta_rule_map;
using layerwise::fast_weight;
using layerwise::fast_weight_map;
using layerwise::fast_weight_score;
using layerwise::index;
using layerwise::linearity_score;
using layerwise::non_finite_error;
using layerwise::option_error;
using layerwise::second_moments;
using layerwise::shape_error;
using layerwise::token_mask;
using namespace layerwise_test;

/// By the residual at the best scale, in long double: the map, what it makes of X, and how much of Y that leaves.
double exact_score(const row_major& data_x, const row_major& data_y) {
  const long_matrix x = exact_values(data_x), y = exact_values(data_y);
  const long_matrix guess = x * (x.transpose() * y);
  const long double scale = guess.cwiseProduct(y).sum() / guess.squaredNorm();
  return static_cast<double>(1 - (scale * guess - y).squaredNorm() / y.squaredNorm());
}

/// W_t = W_{t-1} + beta (y_t - W_{t-1} x_t) x_t^T in long double, as it is written.
long_matrix exact_delta_rule(const row_major& data_x, const row_major& data_y, double beta) {
  const long_matrix x = exact_values(data_x), y = exact_values(data_y);
  long_matrix w = long_matrix::Zero(y.cols(), x.cols());
  for (index t = 0; t < x.rows(); ++t)
    for (index i = 0; i < y.cols(); ++i) {
      long double error = y(t, i);
      for (index j = 0; j < x.cols(); ++j) error -= w(i, j) * x(t, j);
      for (index j = 0; j < x.cols(); ++j) w(i, j) += static_cast<long double>(beta) * error * x(t, j);
    }
  return w;
}

struct score {
  auto operator()(const auto& x, const auto& y, const token_mask& mask = {}) const { return fast_weight(x, y, mask); }
  auto operator()(const cross_moments& moments) const { return fast_weight(moments); }
};

TEST_CASE("fast weight score: what changes it and what does not") {
  laws::changes(laws::untyped(score()), {.rotation_x = true, .rotation_y = true, .scale = true});
  laws::forms_threads_and_masks(score());
  laws::batches_and_merges(laws::untyped(score(), [] { return cross_moments(second_moments::both); }));
}

TEST_CASE("worked values: five tokens of two dimensions") {
  const auto [x, y] = worked_pair();
  row_major w(2, 2), delta(2, 2);
  w << 10, 10, 15, 20;
  delta << 0.3125, -1.875, 1.1875, -3.125;
  CHECK((fast_weight_map(x, y) - w).norm() < 1e-13);
  CHECK(fast_weight_score(x, y) == near(0.9322991575919457));
  CHECK(fast_weight(x, y).error_bound < 1e-13);
  CHECK(fast_weight(x, y).tokens == 5);
  CHECK(delta_rule_map(x, y, 0.5) == delta);
  CHECK(linearity_score(x, y, {.centering = centering::none}) == near(0.9537841191066998));
}

TEST_CASE("the residual of the map in long double, within the bound: any widths, offsets, closeness and scale") {
  std::mt19937_64 random(1);
  for (const index n : {1, 3, 40, 600})
    for (const double offset : {0.0, 1.0, 1e4})
      for (const double noise : {1e-7, 0.3, 10.0}) {
        const row_major x = random_matrix(random, n, 6).array() + offset;
        const row_major same = x + noise * random_matrix(random, n, 6), wide = same * random_matrix(random, 6, 9);
        CAPTURE(n);
        CAPTURE(offset);
        CAPTURE(noise);
        for (const row_major& y : {same, wide}) {
          const double exact = exact_score(x, y);
          for (const double scale : {1.0, 0x1p400, 0x1p-400, 0x1p600, 0x1p-600}) {
            const auto result = fast_weight(row_major(x * scale), row_major(y / scale));
            CHECK(std::abs(result.score - exact) <= result.error_bound);
            if (n > 1) CHECK(result.error_bound < 1e-10);
            CHECK(result.y_dimensions == y.cols());
          }
        }
      }
}

TEST_CASE("hard data: spectra, outliers, offsets, dead and dependent columns") {
  std::mt19937_64 random(2);
  for (int round = 0; round < 60; ++round) {
    hard_case c;
    c.n = random_index(random, 2, 700), c.d_x = random_index(random, 1, 40), c.d_y = random_index(random, 1, 40);
    c.target = pick(random, std::vector{target_kind::map_and_noise, target_kind::weakest, target_kind::independent});
    c.level = pick(random, std::vector{1e-9, 1e-4, 1.0});
    c.condition = pick(random, std::vector{1.0, 1e3, 1e8});
    c.outlier = pick(random, std::vector{1.0, 1e4});
    c.offset = pick(random, std::vector{0.0, 1e3, 1e8});
    c.duplicates = round % 3, c.dead = round % 2;
    CAPTURE(c);
    const auto [x, y] = make_data(random, c);
    const auto result = fast_weight(x, y);
    CHECK(std::abs(result.score - exact_score(x, y)) <= result.error_bound);
  }
}

TEST_CASE("at most the least squares map's score, and as much where the directions of X have equal energy") {
  std::mt19937_64 random(3);
  for (int round = 0; round < 20; ++round) {
    const row_major x = random_matrix(random, 50, 4),
                    y = x * random_matrix(random, 4, 4) + random_matrix(random, 50, 4);
    CHECK(fast_weight_score(x, y) < linearity_score(x, y, {.centering = centering::none}));
    const row_major q = random_orthogonal(random, 50).leftCols(4) * 3.0;
    CHECK(fast_weight_score(q, y) == near(linearity_score(q, y, {.centering = centering::none}), 1e-12));
  }
}

TEST_CASE("the map is one step of gradient descent from 0, of sums of outer products") {
  std::mt19937_64 random(4);
  const row_major x = random_matrix(random, 300, 7).array() + 3.0, y = random_matrix(random, 300, 5);
  const long_matrix exact = exact_values(y).transpose() * exact_values(x);
  cross_moments input, both(second_moments::both);
  input.add(x, y);
  both.add(x, y);
  for (const Eigen::MatrixXd& w : {fast_weight_map(x, y), fast_weight_map(input), fast_weight_map(both)}) {
    REQUIRE(w.rows() == 5);
    REQUIRE(w.cols() == 7);
    CHECK((exact_values(w) - exact).norm() < 1e-14L * exact_values(y).norm() * exact_values(x).norm());
  }
  for (const double scale : {0x1p500, 0x1p-500}) {
    const Eigen::MatrixXd w = fast_weight_map(row_major(x * scale), row_major(y * 4.0));
    CHECK((exact_values(w) - exact * static_cast<long double>(4 * scale)).norm() <
          1e-14L * static_cast<long double>(4 * scale) * exact_values(y).norm() * exact_values(x).norm());
  }
  CHECK(fast_weight_map(x, y, token_mask::skip_first(300, 300, 1)) ==
        fast_weight_map(x.bottomRows(299), y.bottomRows(299)));
}

TEST_CASE("the delta rule, in long double, in the order of the rows") {
  std::mt19937_64 random(5);
  for (const index n : {1, 63, 64, 65, 500})
    for (const double beta : {0.0, 0.01, 0.5, 1.0}) {
      row_major x = random_matrix(random, n, 30), y = random_matrix(random, n, 70);
      x.rowwise().normalize();
      const long_matrix exact = exact_delta_rule(x, y, beta);
      const Eigen::MatrixXd w = delta_rule_map(x, y, beta);
      REQUIRE(w.rows() == 70);
      CHECK((exact_values(w) - exact).norm() <= 1e-14L * (1 + exact.norm()));
      CHECK(with_threads(1, [&] { return delta_rule_map(x, y, beta); }) == w);
      CHECK((delta_rule_map(x.cast<float>(), Eigen::MatrixXd(y), beta) -
             delta_rule_map(row_major(x.cast<float>().cast<double>()), y, beta))
                .norm() == 0.0);
      if (n > 1 && beta > 0)
        CHECK((delta_rule_map(x.colwise().reverse().eval(), y.colwise().reverse().eval(), beta) - w).norm() > 1e-3);
    }
}

TEST_CASE("the delta rule replaces what is stored for a key, and a small beta is the fast weights") {
  row_major x(3, 2), y(3, 1), w(1, 2);
  x << 1, 0, 0, 1, 1, 0;
  y << 5, 7, -2;
  w << -2, 7;
  CHECK(delta_rule_map(x, y, 1.0) == w);
  w << 5, 7;
  CHECK(delta_rule_map(x, y, 1.0, token_mask({true, true, false})) == w);
  std::mt19937_64 random(6);
  const row_major a = random_matrix(random, 100, 3), b = random_matrix(random, 100, 3);
  CHECK((delta_rule_map(a, b, 1e-9) * 1e9 - fast_weight_map(a, b)).norm() < 1e-5);
  for (const double scale : {1e150, 1e-150}) {
    const Eigen::MatrixXd of_y = delta_rule_map(a, row_major(b * scale), 0.1);
    CHECK((of_y / scale - delta_rule_map(a, b, 0.1)).norm() < 1e-11);
  }
}

TEST_CASE("errors say what was expected") {
  std::mt19937_64 random(7);
  row_major x = random_matrix(random, 20, 3), y = random_matrix(random, 20, 2);
  cross_moments input, both(second_moments::both);
  input.add(x, y);
  check_throws<option_error>([&] { fast_weight(input); }, "moments of both (see second_moments::both)",
                             "moments of the input", "fast_weight");
  check_throws<degenerate_input_error>([&] { fast_weight(both); }, "at least one token", "none", "X");
  check_throws<degenerate_input_error>([&] { fast_weight_map(both); }, "at least one token", "none", "X");
  both.add(x, y);
  check_throws<option_error>([&] { fast_weight(both.scatter()); }, "moments about 0", "centering::columns",
                             "fast_weight");
  check_throws<degenerate_input_error>([&] { fast_weight(x, row_major::Zero(20, 2)); }, "an element other than 0",
                                       "only 0", "Y");
  CHECK(fast_weight_score(row_major::Constant(20, 3, 0.1), row_major::Constant(20, 2, 7.0)) == near(1.0));
  check_throws<non_finite_error>(
      [&] { fast_weight_map(row_major::Constant(2, 1, 1e200), row_major::Constant(2, 1, 1e200)); },
      "sums within the range of double", "inf", "fast_weight_map, row 0, column 0");
  for (const double beta : {-0.1, HUGE_VAL}) CHECK_THROWS_AS(delta_rule_map(x, y, beta), option_error);
  check_throws<option_error>([&] { delta_rule_map(x, y, std::numeric_limits<double>::quiet_NaN()); },
                             "a finite beta >= 0", "nan", "delta_rule_map");
  check_throws<shape_error>([&] { delta_rule_map(x, y.topRows(19), 1.0); }, "20 rows, as in X", "19 x 2", "Y");
  check_throws<degenerate_input_error>([&] { delta_rule_map(x, y, 1.0, token_mask(std::vector<bool>(20, false))); },
                                       "at least one token", "none", "X");
  const row_major loud = row_major::Constant(400, 1, 10.0);
  check_refused<non_finite_error>([&] { delta_rule_map(loud, loud, 1.0); },
                                  "weights within the range of double (is beta below 2 / ||x||^2?)");
  y(14, 1) = std::numeric_limits<double>::infinity();
  check_throws<non_finite_error>([&] { delta_rule_map(x, y, 1.0); }, "finite values", "inf", "Y, row 14, column 1");
  std::vector<bool> keep(20, true);
  keep[14] = false;
  CHECK(delta_rule_map(x, y, 0.1, token_mask(keep)).allFinite());
}

}  // namespace
