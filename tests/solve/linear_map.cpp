#include <layerwise/solve/linear_map.hpp>

#include "hard_data.hpp"
#include "support.hpp"

#include <layerwise/metrics/linearity.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <random>
#include <string>

namespace {

using layerwise::centering;
using layerwise::linear_map;
using layerwise::linearity_options;
using layerwise::shape_error;
using namespace layerwise_test;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// The library's function for one type of matrix, to which any expression converts.
linear_map fit_linear_map(const row_major& x, const row_major& y, const linearity_options& options = {}) {
  return layerwise::fit_linear_map(x, y, options);
}

TEST_CASE("the fitted map leaves the residual that the score tells of") {
  std::mt19937_64 random(8);
  for (const hard_case& c :
       {hard_case{.n = 200, .d_x = 12, .d_y = 5, .offset = 1e3},
        hard_case{.n = 300, .d_x = 12, .d_y = 12, .target = target_kind::update, .level = 1e-2},
        hard_case{.n = 300, .d_x = 12, .d_y = 12, .offset = 1.0, .duplicates = 3, .dead = 2},
        hard_case{.n = 10, .d_x = 12, .d_y = 5}, hard_case{.n = 300, .d_x = 12, .d_y = 12, .scale = 1e-150},
        hard_case{.n = 300, .d_x = 12, .d_y = 12, .scale = 1e150}})
    for (const centering center : {centering::columns, centering::none}) {
      CAPTURE(c);
      const data_pair data = make_data(random, c);
      const linearity_options options{.centering = center};
      const linear_map map = fit_linear_map(data.x, data.y, options);
      REQUIRE(map.weight.rows() == c.d_x);
      REQUIRE(map.weight.cols() == c.d_y);
      REQUIRE(map.bias.size() == c.d_y);
      const row_major predicted = map(data.x);
      const row_major by_hand = (data.x * map.weight).rowwise() + map.bias;
      CHECK((predicted - by_hand).cwiseAbs().maxCoeff() <= 1e-12 * predicted.cwiseAbs().maxCoeff());
      row_major y = data.y;
      if (center == centering::columns) y.rowwise() -= data.y.colwise().mean().eval();
      const double unexplained = (data.y - predicted).stableNorm() / y.stableNorm();
      CHECK(std::abs(1.0 - unexplained * unexplained - layerwise::linearity_score(data.x, data.y, options)) < 1e-9);
    }
}

TEST_CASE("a map between layers of any two sizes, as far as doubles hold it") {
  std::mt19937_64 random(21);
  data_pair data = make_data(random, {.n = 40, .d_x = 3, .d_y = 2, .condition = 3.0, .offset = 3.0});
  data.x.col(1).setConstant(0.5);
  const linear_map expected = fit_linear_map(data.x, data.y);
  for (const int of_x : {-1000, -500, 0, 500, 1000})
    for (const int of_y : {-1000, -500, 0, 500, 1000}) {
      CAPTURE(of_x);
      CAPTURE(of_y);
      const row_major x = std::ldexp(1.0, of_x) * data.x, y = std::ldexp(1.0, of_y) * data.y;
      if (of_y - of_x > 1020) {
        CHECK_THROWS_AS(fit_linear_map(x, y), layerwise::non_finite_error);
        continue;
      }
      const linear_map map = fit_linear_map(x, y);
      CHECK(map.weight.row(1).isZero(0.0));
      const double back = std::ldexp(1.0, -of_y);
      CHECK((back * map.bias - expected.bias).norm() <= 1e-12 * expected.bias.norm());
      if (of_y - of_x < -960) continue;  // weights of few bits, or none
      const double ratio = std::ldexp(1.0, (of_x - of_y) / 2);
      CHECK((ratio * (ratio * map.weight) - expected.weight).norm() <= 1e-12 * expected.weight.norm());
      CHECK((back * map(x) - expected(data.x)).norm() <= 1e-12 * data.y.norm());
    }

  // 0 * infinity: a constant column, and weights beyond the range of double.
  const row_major tiny = 0x1p-532 * data.x, huge = 0x1p531 * data.y;
  const std::string sign = expected.weight(0, 0) > 0 ? "inf" : "-inf";
  check_throws<layerwise::non_finite_error>([&] { (void)fit_linear_map(tiny, huge); },
                                            "a weight within the range of double", sign, "weight, row 0, column 0");
}

TEST_CASE("a map is applied to any finite rows whose image doubles hold") {
  linear_map map{Eigen::MatrixXd(2, 1), Eigen::RowVectorXd::Constant(1, 3.0)};
  map.weight << 1e200, -1e200;
  row_major x(3, 2);
  x << 1e200, 1e200, 1e-200, 0.0, 1.5e108, 0.5e108;
  const row_major image = map(x);
  CHECK(image(0, 0) == 3.0);
  CHECK(image(1, 0) == 4.0);
  CHECK(image(2, 0) == near(1e308));
  x(1, 0) = 1e108, x(1, 1) = -1e108;
  check_throws<layerwise::non_finite_error>([&] { (void)map(x); }, "finite values", "inf",
                                            "X * weight + bias, row 1, column 0");
  x(1, 0) = nan;
  check_throws<layerwise::non_finite_error>([&] { (void)map(x); }, "finite values", "nan", "X, row 1, column 0");
}

TEST_CASE("the map of another number of columns is refused") {
  std::mt19937_64 random(9);
  const data_pair data = make_data(random, {.n = 20, .d_x = 3, .d_y = 2});
  const linear_map map = fit_linear_map(data.x, data.y);
  check_throws<shape_error>([&] { map(data.y); }, "3 columns", "20 x 2", "X");
}

TEST_CASE("a map of a matrix without rows, or without columns, is such a matrix") {
  const linear_map map{Eigen::MatrixXd::Ones(3, 2), Eigen::RowVectorXd::Zero(2)};
  CHECK(map(Eigen::MatrixXd(0, 3)).rows() == 0);
  const linear_map constant{Eigen::MatrixXd(0, 2), Eigen::RowVectorXd::Ones(2)};
  CHECK(constant(Eigen::MatrixXd(3, 0)) == Eigen::MatrixXd::Ones(3, 2));
}

}  // namespace
