#include <layerwise/metrics/procrustes_normalize.hpp>

#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <random>

namespace {

using layerwise::centering;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::non_finite_error;
using layerwise::procrustes_normalize;
using layerwise_test::center_exactly;
using layerwise_test::check_throws;
using layerwise_test::doubles;
using layerwise_test::exact_values;
using layerwise_test::long_matrix;
using layerwise_test::random_index;
using layerwise_test::random_matrix;
using layerwise_test::row_major;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// The largest error against the definition, evaluated in long double.
template <class X>
double largest_error(const X& x, centering center) {
  long_matrix exact = exact_values(doubles(x));
  if (center == centering::columns) center_exactly(exact);
  exact /= exact.cwiseAbs().maxCoeff();
  exact /= exact.norm();
  const row_major normalized = procrustes_normalize(x, center);
  return static_cast<double>((exact_values(normalized) - exact).cwiseAbs().maxCoeff());
}

TEST_CASE("the definition, over random shapes, offsets and magnitudes") {
  std::mt19937_64 random(1);
  for (const double offset : {0.0, 1.0, 1e6})
    for (const double scale : {1.0, 1e-150, 1e150, 1e-300, 1e300, 1e-310})
      for (int trial = 0; trial < 5; ++trial) {
        row_major x = random_matrix(random, random_index(random, 2, 90), random_index(random, 1, 40));
        x.rowwise() += offset * Eigen::RowVectorXd::LinSpaced(x.cols(), -1.0, 1.0);
        x *= scale;
        CAPTURE(offset);
        CAPTURE(scale);
        CHECK(largest_error(x, centering::columns) < 2e-15);
        CHECK(largest_error(x, centering::none) < 2e-15);
        CHECK(largest_error((x / scale).cast<float>().eval(), centering::columns) < 2e-15);
      }
}

TEST_CASE("columns of any two sizes, and differences that overflow") {
  row_major x(3, 2);
  x << 1e308, 1e-300, 1e308, 3e-300, 1e308, 2e-300;  // all that varies is 1e608 times smaller
  const row_major small = procrustes_normalize(x);
  CHECK(small.col(0).isZero(0.0));
  CHECK((small.col(1) - Eigen::Vector3d(-1.0, 1.0, 0.0) / std::sqrt(2.0)).norm() < 1e-15);
  x << -1.7e308, 0.0, 1.7e308, 1.0, 0.0, 2.0;
  const row_major large = procrustes_normalize(x);
  CHECK((large.col(0) - Eigen::Vector3d(-1.0, 1.0, 0.0) / std::sqrt(2.0)).norm() < 1e-15);
  CHECK(large.col(1).cwiseAbs().maxCoeff() < 1e-300);
}

TEST_CASE("the result has Frobenius norm 1 and, centred, column means 0") {
  std::mt19937_64 random(2);
  const Eigen::MatrixXf x = (random_matrix(random, 700, 30).array() + 5.0).matrix().cast<float>();
  const row_major centered = procrustes_normalize(x), raw = procrustes_normalize(x, centering::none);
  CHECK(std::abs(centered.norm() - 1.0) < 2e-14);
  CHECK(centered.colwise().mean().cwiseAbs().maxCoeff() < 1e-18);
  CHECK(std::abs(raw.norm() - 1.0) < 2e-14);
  CHECK((raw.array() > 0.0).any());
  CHECK(raw.colwise().mean().minCoeff() > 1e-4);  // the offset is still there
}

TEST_CASE("a scale by a power of two changes no bit, whatever squares do") {
  std::mt19937_64 random(3);
  const row_major x = random_matrix(random, 40, 7);
  for (const centering center : {centering::columns, centering::none}) {
    const row_major plain = procrustes_normalize(x, center);
    for (const int power : {-900, -500, -100, 1, 100, 500, 1000}) {
      CAPTURE(power);
      CHECK(procrustes_normalize(x * std::ldexp(1.0, power), center) == plain);
    }
  }
}

TEST_CASE("a constant column becomes exactly 0, next to one of any size") {
  std::mt19937_64 random(4);
  row_major x = random_matrix(random, 50, 3);
  x.col(1).setConstant(0.1);
  x.col(2) *= 1e100;
  const row_major normalized = procrustes_normalize(x);
  CHECK(normalized.col(1).cwiseAbs().maxCoeff() == 0.0);
}

TEST_CASE("every layout and scalar type gives the numbers of its values") {
  std::mt19937_64 random(5);
  const Eigen::MatrixXf x = random_matrix(random, 31, 12).cast<Eigen::bfloat16>().cast<float>();
  const row_major expected = procrustes_normalize(x);
  CHECK(procrustes_normalize(row_major(x.cast<double>())) == expected);
  CHECK(procrustes_normalize(x.cast<Eigen::bfloat16>().eval()) == expected);
  CHECK(procrustes_normalize(x.cast<double>()) == expected);  // lazy
  const Eigen::MatrixXf padded = Eigen::MatrixXf::Constant(40, 15, 7.0f) + Eigen::MatrixXf::Zero(40, 15);
  Eigen::MatrixXf inside = padded;
  inside.block(3, 2, 31, 12) = x;
  CHECK(procrustes_normalize(inside.block(3, 2, 31, 12)) == expected);
  const Eigen::Matrix<Eigen::half, Eigen::Dynamic, Eigen::Dynamic> half = x.cast<Eigen::half>();
  CHECK(procrustes_normalize(half) == procrustes_normalize(half.cast<double>().eval()));
}

TEST_CASE("what has no variance, or is not finite, is refused") {
  row_major x = row_major::Ones(4, 3);
  check_throws<degenerate_input_error>([&] { procrustes_normalize(x); }, "rows that differ", "no variance", "X");
  CHECK(procrustes_normalize(x, centering::none).isApprox(x / std::sqrt(12.0)));
  check_throws<degenerate_input_error>([&] { procrustes_normalize(row_major::Zero(4, 3).eval(), centering::none); },
                                       "an element other than 0", "no variance", "X");
  check_throws<degenerate_input_error>([&] { procrustes_normalize(row_major(1, 3).setOnes()); }, "rows that differ",
                                       "no variance", "X");
  check_throws<degenerate_input_error>([&] { procrustes_normalize(row_major(0, 3)); }, "a matrix with rows and columns",
                                       "0 x 3", "X");
  check_throws<degenerate_input_error>([&] { procrustes_normalize(row_major(3, 0)); }, "a matrix with rows and columns",
                                       "3 x 0", "X");
  x(2, 1) = nan;
  check_throws<non_finite_error>([&] { procrustes_normalize(x); }, "finite values", "nan", "X, row 2, column 1");
  x(1, 2) = -infinity;
  check_throws<non_finite_error>([&] { procrustes_normalize(x); }, "finite values", "-inf", "X, row 1, column 2");
}

}  // namespace
