#include <layerwise/metrics/residual_update.hpp>

#include "support.hpp"
#include "update_refusals.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <type_traits>

namespace {

using layerwise::degenerate_input_error;
using layerwise::non_finite_error;
using layerwise::residual_update;
using layerwise::shape_error;
using layerwise_test::check_throws;
using layerwise_test::random_matrix;
using layerwise_test::row_major;

TEST_CASE("the residual update is the difference, formed in double") {
  std::mt19937 random(1);
  const row_major x = random_matrix(random, 70, 9), y = random_matrix(random, 70, 9);
  static_assert(std::is_same_v<decltype(residual_update(x, y)), row_major>);
  CHECK(residual_update(x, y) == y - x);
  CHECK(residual_update(Eigen::MatrixXd(x), y) == y - x);
  CHECK(residual_update(x, x).isZero(0));
  CHECK(residual_update(2 * x, y + x) == (y + x) - 2 * x);

  // One unit of bfloat16 at 256 is 2: a difference taken in bfloat16 would be 0 or 2.
  const auto check = [&]<class Scalar>(Scalar) {
    const Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic> narrow_x = (100 * x).cast<Scalar>(),
                                                                narrow_y = y.cast<Scalar>();
    const row_major expected = narrow_y.template cast<double>() - narrow_x.template cast<double>();
    CHECK(residual_update(narrow_x, narrow_y) == expected);
    CHECK(residual_update(narrow_x, y) == y - narrow_x.template cast<double>());
  };
  check(float());
  check(Eigen::half());
  check(Eigen::bfloat16());
}

TEST_CASE("bad input is refused, with its place") {
  std::mt19937 random(6);
  const row_major good = random_matrix(random, 4, 3);
  const auto each = [](const auto& x, const auto& y, const auto& check) {
    check([&] { (void)residual_update(x, y); });
  };
  layerwise_test::check_update_refusals(good, each);
  const row_major largest = row_major::Constant(1, 2, 1.5e308);
  check_throws<non_finite_error>([&] { (void)residual_update(-largest, largest); }, "finite values", "inf",
                                 "after - before, row 0, column 0");
  // A sum of the row that overflows is no fault of the row.
  CHECK(residual_update(row_major::Zero(1, 2), largest) == largest);
}

}  // namespace
