#include <layerwise/metrics/pwcca.hpp>

#include "exact_canonical.hpp"
#include "exact_regression.hpp"
#include "exact_svd.hpp"
#include "hard_data.hpp"
#include "laws/pair_metric_laws.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace {

using layerwise::centering;
using layerwise::cross_moments;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::mean_cca;
using layerwise::option_error;
using layerwise::projection_weighted_cca;
using layerwise::pwcca;
using layerwise::pwcca_result;
using layerwise::second_moments;
using namespace layerwise_test;

/// From the rows, in long double: the canonical variates of X are Q_x U, columns of X are weighed as they are.
double exact_pwcca(const row_major& data_x, const row_major& data_y) {
  long_matrix x = exact_values(data_x), y = exact_values(data_y);
  center_exactly(x);
  center_exactly(y);
  const long_matrix q_x = exact_basis(x), q_y = exact_basis(y);
  long_matrix t = q_x.transpose() * q_y;
  long_matrix variates;  // of X, times their correlations
  if (t.rows() >= t.cols()) {
    orthogonalize_columns(t);
    variates = q_x * t;
  } else {  // T V turned into U diag(rho): of T^T, V diag(rho), and U diag(rho) = T V
    long_matrix v = t.transpose();
    orthogonalize_columns(v);
    for (index k = 0; k < v.cols(); ++k) v.col(k) /= v.col(k).norm();
    variates = q_x * (t * v);
  }
  long double weights = 0, sum = 0;
  for (index k = 0; k < variates.cols(); ++k) {
    const long double rho = variates.col(k).norm();
    long double weight = 0;
    for (index j = 0; j < x.cols(); ++j) weight += std::abs(variates.col(k).dot(x.col(j))) / rho;
    weights += weight, sum += weight * rho;
  }
  return static_cast<double>(sum / weights);
}

struct weighted {
  auto operator()(const auto& x, const auto& y, const layerwise::token_mask& mask = {}) const {
    return projection_weighted_cca(x, y, mask);
  }
  auto operator()(const cross_moments& moments) const { return projection_weighted_cca(moments); }
};

TEST_CASE("PWCCA: what changes it and what does not") {
  check_pair_metric(weighted(), {.rotation_y = true, .scale = true, .shift = true, .same_rotation = false},
                    [] { return cross_moments(second_moments::both); });
  std::mt19937_64 random(1);
  const row_major x = random_matrix(random, 300, 5), y = x + random_matrix(random, 300, 5);
  CHECK(pwcca(x, row_major(y * random_invertible(random, 5))) == near(pwcca(x, y), 1e-13));
}

TEST_CASE("worked values: five tokens of two dimensions, from X and from Y") {
  const auto [x, y] = worked_pair();
  CHECK(pwcca(x, y) == near(0.9937190796122812));
  CHECK(pwcca(y, x) == near(0.9952467243544749));
  const pwcca_result result = projection_weighted_cca(x, y);
  CHECK(result.error_bound < 1e-12);
  CHECK(result.tokens == 5);
  CHECK(result.x_rank == 2);
  CHECK_FALSE(result.underdetermined);
}

TEST_CASE("QR of the rows and Jacobi rotations, in long double, within the bound: any widths, offsets and scale") {
  std::mt19937_64 random(2);
  for (const index n : {14, 40, 400})
    for (const double offset : {0.0, 1e4})
      for (const double noise : {1e-3, 0.3, 10.0})
        for (const double scale : {1.0, 0x1p400, 0x1p-400, 0x1p600, 0x1p-600}) {
          const row_major x = random_matrix(random, n, 6).array() + offset;
          row_major y = x + noise * random_matrix(random, n, 6), narrow = y.leftCols(4);
          CAPTURE(n);
          CAPTURE(offset);
          CAPTURE(noise);
          for (const row_major& of : {y, narrow}) {
            const pwcca_result result = projection_weighted_cca(row_major(x * scale), row_major(of / scale));
            CHECK(std::abs(result.score - exact_pwcca(x, of)) <= result.error_bound);
            const pwcca_result back = projection_weighted_cca(row_major(of * scale), row_major(x * scale));
            CHECK(std::abs(back.score - exact_pwcca(of, x)) <= back.error_bound);
            if (noise > 0.1) CHECK(result.error_bound < 1e-8);
          }
        }
}

TEST_CASE("hard data: spectra, outliers, offsets and dependent columns") {
  std::mt19937_64 random(3);
  int compared = 0;
  for (int round = 0; round < 40; ++round) {
    hard_case c;
    c.d_x = random_index(random, 1, 20), c.d_y = random_index(random, 1, 20);
    c.n = random_index(random, c.d_x + c.d_y + 1, 400);
    c.target = pick(random, std::vector{target_kind::map_and_noise, target_kind::weakest, target_kind::independent});
    c.condition = pick(random, std::vector{1.0, 1e2, 1e3});
    c.outlier = pick(random, std::vector{1.0, 1e4});
    c.offset = pick(random, std::vector{0.0, 1e3});
    c.duplicates = c.d_x > 3 ? round % 3 : 0, c.dead = round % 2;
    CAPTURE(c);
    const auto [x, y] = make_data(random, c);
    const pwcca_result result = projection_weighted_cca(x, y);
    const exact_canonical exact(x, y);
    if (result.x_rank != exact.x_rank || result.y_rank != exact.y_rank) continue;
    CHECK(std::abs(result.score - exact_pwcca(x, y)) <= result.error_bound);
    ++compared;
  }
  CHECK(compared > 30);
}

TEST_CASE("the weights are those of the data, not of whitened or of uncentred columns") {
  // Y has x_0 exactly and nothing of x_1. X is 9 parts x_0: weights 9 : 1, where equal ones give the mean.
  row_major x(4, 2), y(4, 2);
  x << 9, 1, -9, 1, 9, -1, -9, -1;
  y << 1, 1, -1, -1, 1, -1, -1, 1;
  CHECK(pwcca(x, y) == near(0.9));
  CHECK(mean_cca(x, y) == near(0.5));
  CHECK(pwcca(row_major(x.array() + 100.0), y) == near(0.9));
  // More columns of Y than of X, and of X than of Y.
  row_major wide(4, 3);
  wide << x, x.col(0);
  CHECK(pwcca(wide, y) == near(18.0 / 19.0));
  CHECK(pwcca(y, wide) == near(0.5));
}

TEST_CASE("equal correlations: no one's weights matter, and the bound is small") {
  std::mt19937_64 random(4);
  const row_major x = random_matrix(random, 200, 7);
  const pwcca_result result = projection_weighted_cca(x, row_major(x * random_invertible(random, 7)));
  CHECK(result.score == near(1.0, 1e-14));
  CHECK(result.error_bound < 1e-10);
}

TEST_CASE("errors say what was expected") {
  std::mt19937_64 random(5);
  const row_major x = random_matrix(random, 20, 3), y = random_matrix(random, 20, 2);
  cross_moments input;
  input.add(x, y);
  check_throws<option_error>([&] { pwcca(input); }, "moments of both (see second_moments::both)",
                             "moments of the input", "pwcca");
  cross_moments both(second_moments::both);
  both.add(x, y);
  CHECK(pwcca(both) == pwcca(x, y));
  check_throws<option_error>([&] { projection_weighted_cca(both.scatter(centering::none)); }, "moments about the means",
                             "centering::none", "pwcca");
  check_throws<degenerate_input_error>([&] { pwcca(x, row_major::Constant(20, 2, 0.1)); }, "rows that differ",
                                       "no variance", "Y");
  CHECK(projection_weighted_cca(x.topRows(4), y.topRows(4)).underdetermined);
}

}  // namespace
