#include <layerwise/statistics/scatter.hpp>

#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "support.hpp"

#include <layerwise/statistics/cross_moments.hpp>
#include <layerwise/statistics/layer_moments.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <random>
#include <vector>

namespace {

using layerwise::centering;
using layerwise::cross_moments;
using layerwise::index;
using layerwise::layer_moments;
using layerwise::second_moments;
using namespace layerwise_test;

/// Every element of `sums` within gamma times the norms of the exact one, and all of them within the Frobenius bound.
void check_bounded(const Eigen::MatrixXd& sums, const long_matrix& exact, double gamma, const Eigen::VectorXd& rows,
                   const Eigen::VectorXd& cols, double of_all) {
  REQUIRE(sums.rows() == exact.rows());
  REQUIRE(sums.cols() == exact.cols());
  long double total = 0;
  for (index i = 0; i < sums.rows(); ++i)
    for (index j = 0; j < sums.cols(); ++j) {
      const long double error = sums(i, j) - exact(i, j);
      REQUIRE(std::abs(static_cast<double>(error)) <= gamma * rows[i] * cols[j]);
      total += error * error;
    }
  CHECK(std::sqrt(static_cast<double>(total)) <= of_all);
}

/// All of a scatter against sums of long double.
void check_exact(const layerwise::scatter& s, const row_major& data_x, const row_major& data_y, bool centred) {
  long_matrix x = exact_values(data_x) * static_cast<long double>(s.x_scale),
              y = exact_values(data_y) * static_cast<long double>(s.y_scale);
  const long_row x_mean = center_exactly(x), y_mean = center_exactly(y);
  if (!centred) x.rowwise() += x_mean, y.rowwise() += y_mean;
  const auto& r = s.rounding;
  check_bounded(s.xx, x.transpose() * x, r.gamma, r.x_norm, r.x_norm, r.of_xx());
  check_bounded(s.xy, x.transpose() * y, r.gamma, r.x_norm, r.cross_norm, r.of_xy());
  check_bounded(s.yy, y.transpose() * y, r.gamma, r.y_norm, r.y_norm, r.of_yy());
  CHECK(s.xx == s.xx.transpose());
  CHECK(s.yy == s.yy.transpose());
  for (index j = 0; j < s.x_dimensions(); ++j)
    CHECK(s.x_mean[j] == near(static_cast<double>(x_mean[j]) / s.x_scale, 1e-13));
  CHECK(s.degrees_of_freedom() == s.tokens - (centred ? 1 : 0));
}

TEST_CASE("a scatter is what long double sums up to, within its own bounds: any target, offset, merge and scale") {
  std::mt19937_64 random(1);
  for (const centering center : {centering::columns, centering::none})
    for (const double offset : {0.0, 30.0, 1e5})
      for (const double step : {1e-6, 0.3, 5.0}) {  // y close to x: the target is the update; far: the output
        const index n = 900, d = 12;
        const row_major x = random_matrix(random, n, d).array() + offset;
        const row_major y = x + step * random_matrix(random, n, d);
        for (const double scale : {1.0, 0x1p600, 0x1p-500}) {
          const row_major scaled_x = x * scale, scaled_y = y * scale;
          cross_moments moments(second_moments::both), rest(second_moments::both);
          moments.add(scaled_x.topRows(520), scaled_y.topRows(520));
          rest.add(scaled_x.bottomRows(380), scaled_y.bottomRows(380));
          moments.merge(rest);
          CAPTURE(offset);
          CAPTURE(step);
          CAPTURE(scale);
          check_exact(moments.scatter(center), scaled_x, scaled_y, center == centering::columns);
        }
      }
}

TEST_CASE("so is that of parts whose targets differ") {
  std::mt19937_64 random(2);
  const row_major x = random_matrix(random, 1200, 9);
  row_major y = x + 0.01 * random_matrix(random, 1200, 9);
  y.bottomRows(600) = -y.bottomRows(600);
  cross_moments moments(second_moments::both), rest(second_moments::both);
  moments.add(x.topRows(600), y.topRows(600));
  rest.add(x.bottomRows(600), y.bottomRows(600));
  cross_moments other = rest;
  other.merge(moments);
  moments.merge(rest);
  check_exact(moments.scatter(), x, y, true);
  check_exact(other.scatter(centering::none), x, y, false);
}

TEST_CASE("constant columns have no energy, and what there may have been of it is within the bounds") {
  std::mt19937_64 random(3);
  row_major x = random_matrix(random, 700, 4), y = random_matrix(random, 700, 3);
  x.col(1).setConstant(0.1);
  y.col(2).setConstant(1e9);
  x.col(3).array() = 1e8 + 1e-9 * x.col(3).array();
  cross_moments moments(second_moments::both);
  moments.add(x, y);
  CHECK(moments.scatter().xx(1, 1) == 0.0);
  CHECK(moments.scatter().yy(2, 2) == 0.0);
  check_exact(moments.scatter(), x, y, true);
  check_exact(moments.scatter(centering::none), x, y, false);
}

TEST_CASE("without both second moments yy is empty, and everything else the same; so is a layer alone") {
  std::mt19937_64 random(4);
  const row_major x = random_matrix(random, 800, 7), y = random_matrix(random, 800, 5);
  cross_moments input, both(second_moments::both);
  layer_moments layer, last;
  for (const index first : {0, 300, 700}) {
    const index count = first == 700 ? 100 : first == 300 ? 400 : 300;
    input.add(x.middleRows(first, count), y.middleRows(first, count));
    layer.add(x.middleRows(first, count));
  }
  both.add(x, y);
  last.add(y);
  CHECK(layer.tokens() == 800);
  CHECK(layer.dimensions() == 7);
  for (const centering center : {centering::columns, centering::none}) {
    const layerwise::scatter a = input.scatter(center), b = both.scatter(center), c = layer.scatter(center);
    CHECK(a.yy.size() == 0);
    CHECK(a.xx == b.xx);
    CHECK(a.xy == b.xy);
    CHECK(a.x_mean == b.x_mean);
    CHECK(a.y_mean == b.y_mean);
    CHECK(c.xx == b.xx);
    CHECK(c.x_mean == b.x_mean);
    CHECK(c.xy.size() == 0);
    CHECK(c.y_dimensions() == 0);
    CHECK(last.scatter(center).xx == b.yy);
  }
}

}  // namespace
