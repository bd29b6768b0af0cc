#include <layerwise/metrics/contribution_ratio.hpp>

#include "support.hpp"
#include "update_refusals.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <random>
#include <string>

namespace {

using layerwise::contribution_ratio;
using layerwise::contribution_ratio_frobenius;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::non_finite_error;
using layerwise::shape_error;
using layerwise_test::check_throws;
using layerwise_test::near;
using layerwise_test::random_matrix;
using layerwise_test::row_major;

using long_matrix = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The definition, in extended precision, whose range is that of double many times over.
template <class X, class Y>
double reference_ratio(const X& x, const Y& y) {
  const long_matrix a = x.template cast<long double>(), b = y.template cast<long double>();
  return static_cast<double>(std::sqrt((b - a).squaredNorm() / b.squaredNorm()));
}

TEST_CASE("worked examples of the contribution ratio") {
  row_major before(4, 2), after(4, 2);
  before << 3, 4, 0, 0, 1, 0, 1, 1;
  after << 6, 8, 5, 1, 0, 1, 1, 1;
  const Eigen::VectorXd ratio = contribution_ratio(before, after);
  CHECK(ratio[0] == 0.5);  // doubled
  CHECK(ratio[1] == 1);    // from nothing
  CHECK(ratio[2] == near(std::sqrt(2)));
  CHECK(ratio[3] == 0);  // unchanged
  CHECK(contribution_ratio_frobenius(before, after) == near(std::sqrt((25. + 26 + 2 + 0) / (100 + 26 + 1 + 2))));
}

TEST_CASE("the definition, over random shapes") {
  std::mt19937 random(2);
  std::uniform_int_distribution<index> size(1, 200);
  for (int i = 1; i <= 40; ++i) {
    const index n = size(random), d = size(random);
    const row_major x = random_matrix(random, n, d), y = x + 0.1 * i * random_matrix(random, n, d);
    const Eigen::VectorXd ratio = contribution_ratio(x, y);
    REQUIRE(ratio.size() == n);
    for (index t = 0; t < n; ++t) CHECK(ratio[t] == near(reference_ratio(x.row(t), y.row(t))));
    CHECK(contribution_ratio_frobenius(x, y) == near(reference_ratio(x, y)));
    // Of equal length all rows weigh the same.
    const Eigen::VectorXd lengths = y.rowwise().norm();
    const row_major even_x = lengths.cwiseInverse().asDiagonal() * x, even_y = lengths.cwiseInverse().asDiagonal() * y;
    CHECK(contribution_ratio_frobenius(even_x, even_y) ==
          near(std::sqrt(contribution_ratio(even_x, even_y).squaredNorm() / static_cast<double>(n))));
    CHECK(contribution_ratio(4 * x, 4 * y) == ratio);
  }
}

TEST_CASE("small updates of large states keep their digits in every scalar type") {
  std::mt19937 random(3);
  const auto check = [&]<class Scalar>(Scalar) {
    using narrow = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const narrow x = (8 * random_matrix(random, 20, 40)).cast<Scalar>();
    narrow y = x;
    for (index t = 0; t < 20; ++t) y(t, t) = static_cast<Scalar>(static_cast<double>(x(t, t)) * 1.01);
    const Eigen::VectorXd ratio = contribution_ratio(x, y);
    for (index t = 0; t < 20; ++t)
      CHECK(ratio[t] == near(reference_ratio(x.row(t).template cast<double>(), y.row(t).template cast<double>())));
    CHECK(contribution_ratio(x, x).isZero(0));
    CHECK(contribution_ratio_frobenius(x, x) == 0);
  };
  check(double());
  check(float());
  check(Eigen::half());
  check(Eigen::bfloat16());
}

TEST_CASE("rows of any finite size") {
  std::mt19937 random(4);
  const row_major x = random_matrix(random, 10, 18), y = x + 0.1 * random_matrix(random, 10, 18);
  for (const double a : {1e-318, 1e-310, 1e-200, 1e-71, 1., 1e69, 1e155, 1e300, 3e307})
    for (const double b : {1e-318, 1e-310, 1e-160, 1., 1e160, 3e307}) {
      if (a / b > 1e300) continue;  // the ratio itself would be infinite
      CAPTURE(a);
      CAPTURE(b);
      const row_major before = a * x, after = b * y;
      const Eigen::VectorXd ratio = contribution_ratio(before, after);
      for (index t = 0; t < 10; ++t) CHECK(ratio[t] == near(reference_ratio(before.row(t), after.row(t))));
      CHECK(contribution_ratio_frobenius(before, after) == near(reference_ratio(before, after)));
    }

  // The ratio itself is beyond the range of double.
  const row_major large = row_major::Constant(2, 3, 1e300), least = row_major::Constant(2, 3, 1e-300);
  check_throws<non_finite_error>([&] { (void)contribution_ratio(large, least); },
                                 "a ratio of norms within the range of double", "inf", "after, row 0");
  check_throws<non_finite_error>([&] { (void)contribution_ratio_frobenius(large, least); },
                                 "a ratio of norms within the range of double", "inf", "after");

  // The difference alone overflows.
  row_major largest(1, 2);
  largest << 1.5e308, -1.7e308;
  CHECK(contribution_ratio(-largest, largest)[0] == 2);
  CHECK(contribution_ratio_frobenius(-largest, largest) == 2);

  // One unit in the last place of one entry, in a row whose squares are the smallest that count as safe.
  row_major small = row_major::Constant(1, 5, 1e-70), next = small;
  next(0, 3) = std::nextafter(1e-70, 1);
  CHECK(contribution_ratio(small, next)[0] == near(reference_ratio(small, next)));

  row_major mixed(3, 2), output(3, 2);
  mixed << 1e-300, 0, 1e300, 1e300, 0, 0;
  output << 1e-300, 1e-300, 1e300, 3e300, 0, 0;
  CHECK(contribution_ratio_frobenius(mixed, output) == near(reference_ratio(mixed, output)));
}

TEST_CASE("bad input is refused, with its place") {
  std::mt19937 random(6);
  const row_major good = random_matrix(random, 4, 3);
  const auto each = [](const auto& x, const auto& y, const auto& check) {
    check([&] { (void)contribution_ratio(x, y); });
    check([&] { (void)contribution_ratio_frobenius(x, y); });
  };
  layerwise_test::check_update_refusals(good, each);
  row_major zero = good;
  zero.row(1).setZero();
  check_throws<degenerate_input_error>([&] { (void)contribution_ratio(good, zero); },
                                       "a layer output other than zero, to divide by", "zeros only", "after, row 1");
  CHECK(contribution_ratio(zero, good)[1] == 1);
  CHECK(contribution_ratio_frobenius(good, zero) == near(reference_ratio(good, zero)));
  check_throws<degenerate_input_error>(
      [&] { (void)contribution_ratio_frobenius(good, row_major(row_major::Zero(4, 3))); },
      "a layer output other than zero, to divide by", "zeros only", "after");
}

}  // namespace
