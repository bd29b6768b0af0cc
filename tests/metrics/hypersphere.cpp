#include <layerwise/metrics/hypersphere.hpp>

#include "hard_data.hpp"
#include "identical.hpp"
#include "laws/pair_metric_laws.hpp"
#include "support.hpp"

#include <layerwise/data/normalized.hpp>
#include <layerwise/metrics/angular_distance.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <numbers>
#include <random>

namespace {

using layerwise::degenerate_input_error;
using layerwise::hypersphere_step;
using layerwise::index;
using layerwise::non_finite_error;
using layerwise::shape_error;
using layerwise::slerp;
using layerwise::unit_normalized;
using namespace layerwise_test;

row_major plane(double degrees) {
  const double angle = degrees * std::numbers::pi / 180;
  return (row_major(1, 2) << std::cos(angle), std::sin(angle)).finished();
}

row_major unit_normalized_rows(row_major x) {
  x.rowwise().normalize();
  return x;
}

row_major units(std::mt19937_64& random, index n, index d) { return unit_normalized_rows(random_matrix(random, n, d)); }

TEST_CASE("worked values: from (1, 0) to (0, 1), alpha 0.2") {
  const row_major h = (row_major(1, 2) << 1, 0).finished(), target = (row_major(1, 2) << 0, 1).finished();
  const row_major step = hypersphere_step(h, target, 0.2), arc = slerp(h, target, 0.2);
  CHECK(step(0, 0) == near(0.9701425001453318, 1e-15));
  CHECK(step(0, 1) == near(0.24253562503633294, 1e-15));
  CHECK(arc(0, 0) == near(0.9510565162951535, 1e-15));
  CHECK(arc(0, 1) == near(0.3090169943749474, 1e-15));
  const row_major each = hypersphere_step(h, target, (Eigen::VectorXf(2) << 0.5f, 0.25f).finished());
  CHECK(each(0, 0) == near(0.5 / std::sqrt(0.3125), 1e-15));
  CHECK(each(0, 1) == near(0.25 / std::sqrt(0.3125), 1e-15));
}

TEST_CASE("slerp goes along the arc at even speed, from small angles to nearly opposite rows") {
  for (const double opening : {0.0, 1e-12, 1e-7, 0.01, 60.0, 90.0, 135.0, 179.99, 180 - 1e-5})
    for (const double alpha : {0.0, 0.3, 0.5, 1.0, -0.4, 1.5}) {
      CAPTURE(opening);
      CAPTURE(alpha);
      const row_major got = slerp(plane(20), plane(20 + opening), alpha);
      const double error = 1e-15 + 2e-16 / std::sin((180 - opening) * std::numbers::pi / 180);
      CHECK((got - plane(20 + alpha * opening)).norm() < (opening == 0.0 ? 1e-15 : 4 * error));
    }
  std::mt19937_64 random(1);
  const row_major h = units(random, 200, 33), target = units(random, 200, 33);
  const Eigen::VectorXd whole = layerwise::angular_distance(h, target),
                        part = layerwise::angular_distance(h, slerp(h, target, 0.3));
  CHECK((part - 0.3 * whole).cwiseAbs().maxCoeff() < 1e-15);
  CHECK((slerp(h, target, 0.25) - slerp(target, h, 0.75)).cwiseAbs().maxCoeff() < 1e-15);
}

TEST_CASE("a step: of length 1, the formula in long double; at half way the middle of the arc; 0 stays, 1 arrives") {
  std::mt19937_64 random(2);
  const row_major h = units(random, 200, 33), target = units(random, 200, 33);
  const Eigen::RowVectorXd alpha = random_matrix(random, 1, 33);
  const row_major got = hypersphere_step(h, target, alpha);
  for (index i = 0; i < 200; ++i) {
    Eigen::Matrix<long double, 1, Eigen::Dynamic> from = h.row(i).cast<long double>(),
                                                  to = target.row(i).cast<long double>();
    from.normalize(), to.normalize();
    Eigen::Matrix<long double, 1, Eigen::Dynamic> expected = from + alpha.cast<long double>().cwiseProduct(to - from);
    expected.normalize();
    CHECK(static_cast<double>((got.row(i).cast<long double>() - expected).norm()) < 1e-15);
    CHECK(got.row(i).norm() == near(1.0, 1e-15));
  }
  CHECK((hypersphere_step(h, target, 0.5) - slerp(h, target, 0.5)).cwiseAbs().maxCoeff() < 2e-15);
  CHECK((hypersphere_step(h, target, 0.0) - h).cwiseAbs().maxCoeff() < 1e-15);
  CHECK((hypersphere_step(h, target, 1.0) - target).cwiseAbs().maxCoeff() < 1e-15);
  // As far as doubles go.
  const row_major away = unit_normalized_rows(target - h);
  CHECK((hypersphere_step(h, target, 1e300) - away).cwiseAbs().maxCoeff() < 1e-15);
  check_identical(hypersphere_step(h, target, 0.7).reshaped(),
                  hypersphere_step(h, target, Eigen::VectorXd::Constant(33, 0.7)).reshaped());
}

TEST_CASE("any form of matrix, rows that are unit_normalized as they are read, any number of threads") {
  std::mt19937_64 random(3);
  const row_major x = random_matrix(random, 300, 9) * 100, y = random_matrix(random, 300, 9);
  row_major a = x, b = y;
  a.rowwise().normalize(), b.rowwise().normalize();
  const row_major expected = slerp(a, b, 0.1);
  CHECK((slerp(unit_normalized(x), unit_normalized(y), 0.1) - expected).cwiseAbs().maxCoeff() < 1e-15);
  const Eigen::MatrixXf a_float = a.cast<float>();
  const row_major rounded = slerp(a_float, b, 0.1);
  CHECK((rounded - expected).cwiseAbs().maxCoeff() < 1e-6);
  for (index i = 0; i < 300; ++i) CHECK(rounded.row(i).norm() == near(1.0, 1e-15));
  for (const int threads : {1, 2})
    check_identical(with_threads(threads, [&] { return slerp(a, b, 0.1); }).reshaped(), expected.reshaped());
}

TEST_CASE("what is refused") {
  std::mt19937_64 random(4);
  row_major h = units(random, 5, 3), target = units(random, 5, 3);
  row_major opposite = target;
  opposite.row(3) = -h.row(3);
  check_refused<degenerate_input_error>([&] { slerp(h, opposite, 0.3); }, "(slerp, row 3)");
  check_refused<degenerate_input_error>([&] { hypersphere_step(h, opposite, 0.5); }, "(hypersphere_step, row 3)");
  CHECK((hypersphere_step(h, opposite, 0.25).row(3) - h.row(3)).norm() < 1e-15);
  row_major longer = h;
  longer.row(2) *= 1.002;
  check_refused<degenerate_input_error>(
      [&] { slerp(longer, target, 0.3); },
      "expected a row of length 1 (see unit_normalized), got length 1.002 (h, row 2)");
  check_refused<degenerate_input_error>([&] { hypersphere_step(target, longer, 0.3); }, "(target, row 2)");
  longer.row(2) /= 1.0015;
  CHECK((slerp(longer, target, 0.3) - slerp(h, target, 0.3)).cwiseAbs().maxCoeff() < 1e-15);
  longer.row(2).setZero();
  check_refused<degenerate_input_error>([&] { slerp(longer, target, 0.3); }, "length 0");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double bad : {nan, HUGE_VAL}) {
    row_major wrong = h;
    wrong(4, 1) = bad;
    check_refused<non_finite_error>([&] { slerp(wrong, target, 0.3); }, "(h, row 4, column 1)");
    check_refused<non_finite_error>([&] { hypersphere_step(h, wrong, 0.3); }, "(target, row 4, column 1)");
    check_refused<non_finite_error>([&] { slerp(h, target, bad); }, "a finite alpha");
    check_refused<non_finite_error>([&] { hypersphere_step(h, target, bad); }, "a finite alpha");
    check_refused<non_finite_error>([&] { hypersphere_step(h, target, Eigen::VectorXd::Constant(3, bad)); }, "alpha");
  }
  row_major huge = h;
  huge.row(1) *= 1e200;
  check_refused<degenerate_input_error>([&] { slerp(huge, target, 0.3); }, "(h, row 1)");
  check_throws<shape_error>([&] { slerp(h, target.topRows(4), 0.3); }, "a matrix of 5 x 3", "4 x 3", "target");
  check_throws<shape_error>([&] { hypersphere_step(h, target, Eigen::VectorXd::Ones(4)); },
                            "3 values, one for each dimension", "4 x 1", "alpha");
  check_refused<degenerate_input_error>([&] { slerp(row_major(0, 3), row_major(0, 3), 0.3); }, "0 x 3");
  check_refused<degenerate_input_error>([&] { hypersphere_step(row_major(0, 3), row_major(0, 3), 0.3); }, "0 x 3");
}

TEST_CASE("equal rows stay where they are whatever alpha; a turn beyond the range of double is refused") {
  row_major h(1, 2), t(1, 2);
  h << 0.6, 0.8;
  t << -0.8, 0.6;
  for (const double alpha : {1e12, 1e17, 1e300}) {
    CHECK((layerwise::slerp(h, h, alpha) - h).cwiseAbs().maxCoeff() < 1e-15);
    CHECK((layerwise::hypersphere_step(h, h, alpha) - h).cwiseAbs().maxCoeff() < 1e-15);
  }
  CHECK_THROWS_AS((void)layerwise::slerp(h, t, 1.7e308), layerwise::non_finite_error);
}

}  // namespace
