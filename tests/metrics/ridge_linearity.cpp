#include <layerwise/metrics/ridge_linearity.hpp>

#include "hard_data.hpp"
#include "laws/pair_metric_laws.hpp"
#include "support.hpp"

#include <layerwise/metrics/linearity.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <random>
#include <utility>
#include <vector>

namespace {

using layerwise::cross_moments;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::option_error;
using layerwise::ridge_linearity;
using layerwise::second_moments;
using namespace layerwise_test;

using column = std::vector<long double>;

std::vector<column> centred(const row_major& m) {
  std::vector<column> out;
  for (index j = 0; j < m.cols(); ++j) {
    column c;
    long double mean = 0;
    for (index i = 0; i < m.rows(); ++i) c.push_back(static_cast<long double>(m(i, j) - m(0, j))), mean += c.back();
    for (long double& value : c) value -= mean / static_cast<long double>(m.rows());
    out.push_back(std::move(c));
  }
  return out;
}

long double product(const column& a, const column& b) {
  long double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// By its definition, in long double: A by Gaussian elimination, then the residual of every row.
double by_residual(const row_major& x_rows, const row_major& y_rows, double lambda) {
  const std::vector<column> x = centred(x_rows), y = centred(y_rows);
  const std::size_t d = x.size();
  long double trace = 0;
  for (const column& c : x) trace += product(c, c);
  const long double ridge = static_cast<long double>(lambda) * trace / static_cast<long double>(d);
  long double left = 0, all = 0;
  for (const column& t : y) {
    std::vector<column> g(d, column(d + 1));
    for (std::size_t i = 0; i < d; ++i) {
      for (std::size_t j = 0; j < d; ++j) g[i][j] = product(x[i], x[j]) + (i == j ? ridge : 0);
      g[i][d] = product(x[i], t);
    }
    for (std::size_t k = 0; k < d; ++k)
      for (std::size_t i = 0; i < d; ++i) {
        if (i == k) continue;
        const long double factor = g[i][k] / g[k][k];
        for (std::size_t j = k; j <= d; ++j) g[i][j] -= factor * g[k][j];
      }
    column residual = t;
    for (std::size_t k = 0; k < d; ++k)
      for (std::size_t i = 0; i < t.size(); ++i) residual[i] -= g[k][d] / g[k][k] * x[k][i];
    left += product(residual, residual), all += product(t, t);
  }
  return static_cast<double>(1 - left / all);
}

struct ridged {
  auto operator()(const auto& x, const auto& y, const layerwise::token_mask& mask = {}) const {
    return ridge_linearity(x, y, 0.3, mask);
  }
  auto operator()(const cross_moments& moments) const { return ridge_linearity(moments, 0.3); }
};

TEST_CASE("linearity with a ridge: what changes it and what does not") {
  check_pair_metric(ridged(), {.rotation_x = true, .rotation_y = true, .scale = true, .shift = true},
                    [] { return cross_moments(second_moments::both); });
}

TEST_CASE("worked values: one dimension, and five tokens of two") {
  // Of one column each, S_xx = 1, S_xy = 1, S_yy = 2: A = 1 / (1 + lambda), of the energy 2 A - A^2 is explained.
  row_major x(3, 1), y(3, 1);
  x << 0.5, -0.5, 0, y << 1, 0, -1;
  for (const double lambda : {1e-9, 0.5, 3.0, 1e6}) {
    const double a = 1 / (1 + lambda);
    CHECK(ridge_linearity(x, y, lambda).score == near((2 * a - a * a) * 0.25, 1e-15));
  }
  // S_xx = [5.2 2; 2 6], mean eigenvalue 5.6, S_xy = [5.2 9; 2 10], tr S_yy = 29.2; with lambda 1/2: G = [8 2; 2 8.8].
  const double det = 8 * 8.8 - 4, a[2][2] = {{(8.8 * 5.2 - 2 * 2) / det, (8.8 * 9 - 2 * 10) / det},
                                             {(8 * 2 - 2 * 5.2) / det, (8 * 10 - 2 * 9) / det}};
  double explained = 0;
  for (int c = 0; c < 2; ++c)
    explained += 2 * (a[0][c] * (c == 0 ? 5.2 : 9) + a[1][c] * (c == 0 ? 2 : 10)) - 5.2 * a[0][c] * a[0][c] -
                 4 * a[0][c] * a[1][c] - 6 * a[1][c] * a[1][c];
  const auto data = worked_pair();
  const auto result = ridge_linearity(data.x, data.y, 0.5);
  CHECK(result.score == near(explained / 29.2, 1e-14));
  CHECK(result.lambda == 0.5);
  CHECK(result.tokens == 5);
}

TEST_CASE("the definition by the residual, in long double, within the bound: hard data, any lambda and scale") {
  std::mt19937_64 random(1);
  for (const double condition : {1.0, 1e3, 1e7})
    for (const double offset : {0.0, 1e3})
      for (const int duplicates : {0, 2})
        for (const double scale : {1.0, 0x1p400, 0x1p-400}) {
          const auto [x, y] = make_data(random, {.n = 300,
                                                 .d_x = 9,
                                                 .d_y = 4,
                                                 .level = 0.3,
                                                 .condition = condition,
                                                 .outlier = 100.0,
                                                 .offset = offset,
                                                 .duplicates = duplicates});
          for (const double lambda : {1e-9, 1e-3, 1.0, 1e3, 1e50}) {
            const auto result = ridge_linearity(row_major(x * scale), row_major(y / scale), lambda);
            CAPTURE(condition);
            CAPTURE(offset);
            CAPTURE(lambda);
            CHECK(std::abs(result.score - by_residual(x, y, lambda)) <= result.error_bound + 1e-18);
            CHECK(result.error_bound < (lambda < 1e-6 ? 1e-5 : 1e-8));
          }
        }
}

TEST_CASE("a lambda of 0 is linearity to the last bit; the score falls as it grows, and a small one is near it") {
  std::mt19937_64 random(2);
  const row_major x = random_matrix(random, 60, 5), y = x * random_matrix(random, 5, 3) + random_matrix(random, 60, 3);
  cross_moments moments(second_moments::both);
  moments.add(x, y);
  const auto plain = layerwise::linearity(moments);
  CHECK(ridge_linearity(moments, 0.0).score == plain.score);
  CHECK(ridge_linearity(moments, 0.0).error_bound == plain.error_bound);
  CHECK(ridge_linearity(moments, 1e-12).score == near(plain.score, 1e-10));
  double before = plain.score;
  for (const double lambda : {1e-3, 0.1, 1.0, 10.0, 1e4}) {
    const double score = ridge_linearity(moments, lambda).score;
    CHECK(score < before);
    before = score;
  }
  CHECK(before < 1e-3);
}

TEST_CASE("merged far apart: what rounding took, the bound says") {
  std::mt19937_64 random(3);
  row_major x = random_matrix(random, 900, 4), y = x + random_matrix(random, 900, 4);
  x.bottomRows(400).array() += 1e8, y.bottomRows(400).array() -= 1e8;
  cross_moments moments(second_moments::both), rest(second_moments::both);
  moments.add(x.topRows(500), y.topRows(500));
  rest.add(x.bottomRows(400), y.bottomRows(400));
  moments.merge(rest);
  for (const double lambda : {1e-6, 0.1}) {
    const auto result = ridge_linearity(moments, lambda);
    CHECK(std::abs(result.score - by_residual(x, y, lambda)) <= result.error_bound);
  }
}

TEST_CASE("what is refused") {
  const auto [x, y] = worked_pair();
  const auto bad_lambda = [&x = x, &y = y](double lambda, const std::string& got) {
    check_throws<option_error>([&] { ridge_linearity(x, y, lambda); }, "a lambda in 0..1e100", got, "ridge_linearity");
  };
  bad_lambda(-1e-3, "-0.001");
  bad_lambda(std::numeric_limits<double>::quiet_NaN(), "nan");
  bad_lambda(std::numeric_limits<double>::infinity(), "inf");
  cross_moments input;
  input.add(x, y);
  for (const double lambda : {0.0, 1.0})
    check_throws<option_error>([&] { ridge_linearity(input, lambda); }, "moments of both (see second_moments::both)",
                               "moments of the input", "ridge_linearity");
  row_major dependent(5, 2);
  dependent << x.col(0), x.col(0);
  CHECK(ridge_linearity(dependent, y, 1e-3).error_bound < 1e-12);
  check_throws<degenerate_input_error>([&, &y = y] { ridge_linearity(dependent, y, 1e-300); },
                                       "a lambda, or independent columns, beyond rounding", "lambda 1e-300", "X");
}

}  // namespace
