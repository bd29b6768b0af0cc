#include <layerwise/metrics/displacement.hpp>

#include <layerwise/data/hidden_states_view.hpp>
#include <layerwise/metrics/angular_distance.hpp>
#include <layerwise/metrics/cosine_similarity.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>
#include <Eigen/QR>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <random>
#include <utility>
#include <vector>

namespace {

using layerwise::angular_distance;
using layerwise::cosine_similarity;
using layerwise::degenerate_input_error;
using layerwise::displacement;
using layerwise::index;
using layerwise::non_finite_error;
using layerwise::shape_error;
using layerwise_test::check_throws;
using layerwise_test::near;
using layerwise_test::random_matrix;
using layerwise_test::row_major;

constexpr double pi = std::numbers::pi;

using long_row = Eigen::Matrix<long double, 1, Eigen::Dynamic>;

/// The angle of two rows by projection, a formula the library does not use, in extended precision.
struct reference_angle {
  long double cosine, sine;
  template <class U, class V>
  reference_angle(const U& u, const V& v) {
    const long_row a = u.template cast<long double>(), b = v.template cast<long double>();
    const long double along = a.dot(b) / a.squaredNorm();
    const long_row across = b - along * a;
    cosine = along * a.norm() / b.norm();
    sine = (across - (across.dot(a) / a.squaredNorm()) * a).norm() / b.norm();
  }
  long double radians() const { return std::atan2(sine, cosine); }
  long double displacement() const { return cosine > 0 ? sine * sine / (2 * (1 + cosine)) : (1 - cosine) / 2; }
};

/// Rows after `before`, each at the angle given to its row there, up to rounding to double.
row_major turned(const row_major& before, const std::vector<double>& angles, std::mt19937& random) {
  row_major after(before.rows(), before.cols());
  const row_major noise = random_matrix(random, before.rows(), before.cols());
  for (index i = 0; i < before.rows(); ++i) {
    const long_row u = before.row(i).cast<long double>().normalized();
    long_row w = noise.row(i).cast<long double>();
    w -= w.dot(u) * u;
    w -= w.dot(u) * u;
    const long double theta = static_cast<long double>(angles[static_cast<std::size_t>(i)]);
    after.row(i) = (std::cos(theta) * u + std::sin(theta) * w.normalized()).cast<double>();
  }
  return after;
}

TEST_CASE("angles known by construction, from 1e-9 to pi - 1e-9") {
  std::mt19937 random(1);
  std::vector<double> angles;
  for (double theta = 1e-9; theta < 0.2; theta *= 3) {
    angles.push_back(theta);
    angles.push_back(pi - theta);
    angles.push_back(pi / 2 - theta);
    angles.push_back(pi / 2 + theta);
  }
  for (double theta = 0; theta < pi; theta += 0.1) angles.push_back(theta);
  const index n = static_cast<index>(angles.size());
  for (const index d : {2, 3, 15, 16, 17, 64, 100}) {
    const row_major before = random_matrix(random, n, d), after = turned(before, angles, random);
    const Eigen::VectorXd c = cosine_similarity(before, after), psi = displacement(before, after),
                          distance = angular_distance(before, after);
    for (index i = 0; i < n; ++i) {
      const double theta = angles[static_cast<std::size_t>(i)];
      CAPTURE(theta);
      CAPTURE(d);
      // `after` is rounded to double, which turns it by up to 1e-16 or so.
      CHECK(std::abs(pi * distance[i] - theta) <= 1e-15);
      CHECK(std::abs(c[i] - std::cos(theta)) <= 1e-15);
      CHECK(std::abs(psi[i] - std::pow(std::sin(theta / 2), 2)) <= 1e-15 * std::max(std::sin(theta / 2), 1e-15));
    }
  }
}

TEST_CASE("the angle of the rows as they are, in extended precision") {
  std::mt19937 random(2);
  for (const double theta : {1e-9, 1e-7, 1e-5, 1e-3, 0.1, 1.5, 1.7, 3., pi - 1e-3, pi - 1e-9}) {
    const row_major before = random_matrix(random, 20, 48);
    const row_major after = 3 * turned(before, std::vector<double>(20, theta), random);
    const Eigen::VectorXd psi = displacement(before, after), distance = angular_distance(before, after);
    for (index i = 0; i < 20; ++i) {
      const reference_angle exact(before.row(i), after.row(i));
      CAPTURE(theta);
      CHECK(std::abs(static_cast<double>(static_cast<long double>(pi * distance[i]) - exact.radians())) <= 6e-16);
      // Small angles are right in relative terms, down to the rounding of the rows' lengths.
      const double relative = 5e-13 + 1e-28 / (theta * theta);
      CHECK(std::abs(static_cast<double>(static_cast<long double>(psi[i]) / exact.displacement() - 1)) <= relative);
    }
  }
}

TEST_CASE("tiny angles between (1, 0) and (1, t) are right in relative terms") {
  for (double t = 0.5; t > 1e-140; t /= 8) {
    row_major u(4, 2), v(4, 2);
    u << 1, 0, 1, 0, 0, 3, 1, 0;
    v << 1, t, 0x1p-400, std::ldexp(t, -400), -3 * t, 3, -1, t;
    const long double theta = std::atan(static_cast<long double>(t)), half = std::sin(theta / 2);
    const Eigen::VectorXd psi = displacement(u, v), distance = angular_distance(u, v), c = cosine_similarity(u, v);
    for (index i = 0; i < 3; ++i) {
      CAPTURE(t);
      CHECK(psi[i] == near(static_cast<double>(half * half), 1e-15));
      CHECK(distance[i] == near(static_cast<double>(theta) / pi, 1e-15));
      CHECK(c[i] == near(static_cast<double>(std::cos(theta)), 1e-15));
    }
    CHECK(c[3] == near(-c[0], 1e-15));
    CHECK(psi[3] == near(1 - psi[0], 1e-15));
    CHECK(distance[3] == near(1 - distance[0], 1e-15));
  }
}

TEST_CASE("angles of rows of different lengths, where the differences of rows and of lengths nearly cancel") {
  std::mt19937 random(10);
  for (const double ratio : {1., 1 + 1e-12, 1 + 1e-6, 1.001, 1.1, 1.5, 2., 3., 10., 1e3, 1e6})
    for (double theta = 0.1; theta > 0.5e-12; theta /= 10)
      for (const index d : {5, 64, 300}) {
        CAPTURE(ratio);
        CAPTURE(theta);
        CAPTURE(d);
        const row_major u = random_matrix(random, 8, d), v = turned(u, std::vector<double>(8, theta), random);
        const row_major w = ratio * (u.rowwise().norm().asDiagonal() * v);
        for (const auto& [before, after] : {std::pair(u, w), std::pair(w, u)}) {
          const Eigen::VectorXd near_0 = angular_distance(before, after), psi = displacement(before, after),
                                near_pi = angular_distance(before, -after);
          for (index i = 0; i < 8; ++i) {
            const reference_angle exact(before.row(i), after.row(i));
            const auto radians = static_cast<double>(exact.radians());
            // What the reference is good to, and what the rounding of the ratio of lengths does.
            const double tolerance = 2e-13 + 1e-18 / theta + 1e-31 / (theta * theta);
            CHECK(pi * near_0[i] == near(radians, tolerance));
            CHECK(psi[i] == near(static_cast<double>(exact.displacement()), 2 * tolerance));
            CHECK(std::abs(pi * near_0[i] - radians) <= 1e-15);
            CHECK(std::abs(pi * (1 - near_pi[i]) - radians) <= 1e-15);
          }
        }
      }
}

TEST_CASE("rows compared with themselves do not turn, in any scalar type") {
  std::mt19937 random(3);
  const auto check = [&]<class Scalar>(Scalar) {
    for (const index d : {1, 7, 64, 769}) {
      const Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> h =
          random_matrix(random, 50, d).cast<Scalar>();
      CHECK(displacement(h, h).isZero(0));
      CHECK(angular_distance(h, h).isZero(0));
      CHECK(cosine_similarity(h, h).isOnes(0));
      CHECK(displacement(h, -h).isOnes(0));
      CHECK(angular_distance(h, -h).isOnes(0));
      CHECK(cosine_similarity(h, -h) == -Eigen::VectorXd::Ones(50));
      CHECK(displacement(h, 4 * h.template cast<double>()).isZero(0));
      CHECK(displacement(h, 3 * h.template cast<double>()).maxCoeff() < 1e-30);
    }
  };
  check(double());
  check(float());
  check(Eigen::half());
  check(Eigen::bfloat16());
}

TEST_CASE("the three quantities are one angle, within their ranges") {
  std::mt19937 random(4);
  std::uniform_int_distribution<index> size(1, 40);
  for (int i = 0; i < 100; ++i) {
    const index n = size(random), d = size(random);
    const row_major u = random_matrix(random, n, d), v = random_matrix(random, n, d);
    const Eigen::VectorXd c = cosine_similarity(u, v), psi = displacement(u, v), distance = angular_distance(u, v);
    CHECK(c.size() == n);
    CHECK(c.cwiseAbs().maxCoeff() <= 1);
    CHECK(psi.minCoeff() >= 0);
    CHECK(psi.maxCoeff() <= 1);
    CHECK(distance.minCoeff() >= 0);
    CHECK(distance.maxCoeff() <= 1);
    const Eigen::VectorXd dots =
        (u.array() * v.array()).rowwise().sum() / (u.rowwise().norm().array() * v.rowwise().norm().array());
    CHECK((c - dots).cwiseAbs().maxCoeff() < 1e-14);
    CHECK((psi.array() - (1 - c.array()) / 2).abs().maxCoeff() < 1e-15);
    CHECK((psi.array() - (pi / 2 * distance.array()).sin().square()).abs().maxCoeff() < 1e-15);
  }
}

TEST_CASE("invariances: order of operands, row order, length of rows, orthogonal maps") {
  std::mt19937 random(5);
  std::uniform_int_distribution<index> size(2, 60);
  std::uniform_real_distribution<double> exponent(-60, 60);
  for (int i = 0; i < 50; ++i) {
    const index n = size(random), d = size(random);
    const row_major u = random_matrix(random, n, d), v = u + 0.3 * random_matrix(random, n, d);
    const Eigen::VectorXd psi = displacement(u, v), distance = angular_distance(u, v);
    CHECK(displacement(v, u).isApprox(psi, 1e-13));

    Eigen::PermutationMatrix<Eigen::Dynamic> order(n);
    order.setIdentity();
    std::shuffle(order.indices().data(), order.indices().data() + n, random);
    CHECK(displacement(order * u, order * v) == order * psi);

    const Eigen::VectorXd a = Eigen::VectorXd::NullaryExpr(n, [&] { return std::exp2(exponent(random)); });
    const Eigen::VectorXd b = Eigen::VectorXd::NullaryExpr(n, [&] { return std::exp2(exponent(random)); });
    CHECK(displacement(a.asDiagonal() * u, b.asDiagonal() * v).isApprox(psi, 1e-13));
    CHECK(displacement(0x1p900 * u, 0x1p-900 * v).isApprox(psi, 1e-13));
    CHECK((displacement(u, -v).array() + psi.array() - 1).abs().maxCoeff() < 1e-15);

    const Eigen::MatrixXd q = Eigen::HouseholderQR<Eigen::MatrixXd>(random_matrix(random, d, d)).householderQ();
    CHECK(displacement(u * q, v * q).isApprox(psi, 1e-12));
    CHECK(angular_distance(u * q, v * q).isApprox(distance, 1e-12));
  }
}

TEST_CASE("the triangle inequality of angular distances") {
  std::mt19937 random(6);
  const row_major a = random_matrix(random, 200, 5), b = a + random_matrix(random, 200, 5),
                  c = b + random_matrix(random, 200, 5);
  const Eigen::VectorXd slack = angular_distance(a, b) + angular_distance(b, c) - angular_distance(a, c);
  CHECK(slack.minCoeff() > -1e-15);
}

TEST_CASE("scalar types, layouts and lazy expressions give the values of the same numbers in double") {
  std::mt19937 random(7);
  const row_major u = random_matrix(random, 150, 33), v = u + random_matrix(random, 150, 33);
  const auto check = [&]<class Scalar>(Scalar) {
    using narrow_rows = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const narrow_rows x = u.cast<Scalar>(), y = v.cast<Scalar>();
    const Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic> columns = y;
    const row_major wide_x = x.template cast<double>(), wide_y = y.template cast<double>();
    const Eigen::VectorXd expected = displacement(wide_x, wide_y);
    CHECK(displacement(x, y) == expected);
    CHECK(displacement(x, columns) == expected);
    CHECK(displacement(x, wide_y) == expected);
    CHECK(displacement(x.block(10, 3, 20, 9), y.block(10, 3, 20, 9)) ==
          displacement(wide_x.block(10, 3, 20, 9), wide_y.block(10, 3, 20, 9)));
    CHECK(displacement(-x, -columns) == expected);

    std::vector<Scalar> dump(static_cast<std::size_t>(2 * 150 * 33));
    const auto layers = layerwise::hidden_states_view<Scalar>::token_major(dump.data(), 150, 2, 33);
    for (index i = 0; i < 150; ++i)
      for (index j = 0; j < 33; ++j) {
        layers[0](i, j) = x(i, j);
        layers[1](i, j) = y(i, j);
      }
    CHECK(displacement(layers[0], layers[1]) == expected);
    CHECK(angular_distance(layers[0], layers[1]) == angular_distance(wide_x, wide_y));
    CHECK(cosine_similarity(layers[0], layers[1]) == cosine_similarity(wide_x, wide_y));
  };
  check(double());
  check(float());
  check(Eigen::half());
  check(Eigen::bfloat16());
}

TEST_CASE("rows of any finite size") {
  std::mt19937 random(8);
  const row_major u = random_matrix(random, 30, 21), v = u + 0.1 * random_matrix(random, 30, 21);
  // 1e-310 and 1e-318 are below the smallest normal number, where the entries keep few bits.
  for (const double a : {1e-318, 1e-310, 1e-200, 1e-71, 1., 1e69, 1e155, 1e300, 3e307})
    for (const double b : {1e-318, 1e-310, 1e-160, 1., 1e160, 3e307}) {
      const row_major x = a * u, y = b * v;
      const Eigen::VectorXd psi = displacement(x, y);
      for (index i = 0; i < 30; ++i) {
        CAPTURE(a);
        CAPTURE(b);
        CHECK(psi[i] == near(static_cast<double>(reference_angle(x.row(i), y.row(i)).displacement()), 1e-13));
      }
    }
  row_major mixed(2, 3), other(2, 3);
  mixed << 1e300, 1e-310, 0, 1e-310, 1e-310, 0;
  other << 1e300, 0, 1e300, 0, 1e-310, -1e-310;
  const Eigen::VectorXd distance = angular_distance(mixed, other);
  CHECK(distance[0] == near(1. / 4, 1e-15));
  CHECK(distance[1] == near(1. / 3, 1e-15));
}

TEST_CASE("bad input is refused, with its place") {
  std::mt19937 random(9);
  const row_major good = random_matrix(random, 4, 3);
  const auto each = [](const auto& x, const auto& y, const auto& check) {
    check([&] { (void)cosine_similarity(x, y); });
    check([&] { (void)angular_distance(x, y); });
    check([&] { (void)displacement(x, y); });
  };
  each(good, Eigen::MatrixXf(Eigen::MatrixXf::Ones(3, 4)),
       [](const auto& call) { check_throws<shape_error>(call, "a matrix of 4 x 3", "3 x 4", "after"); });
  each(Eigen::MatrixXf(0, 3), Eigen::MatrixXf(0, 3), [](const auto& call) {
    check_throws<degenerate_input_error>(call, "a matrix with rows and columns", "0 x 3", "before");
  });
  each(Eigen::MatrixXd(2, 0), Eigen::MatrixXf(2, 0), [](const auto& call) {
    check_throws<degenerate_input_error>(call, "a matrix with rows and columns", "2 x 0", "before");
  });

  row_major zero = good;
  zero.row(2).setZero();
  zero(2, 1) = -0.;
  const std::string direction = "a row other than zero, where an angle is asked for";
  each(good, zero, [&](const auto& call) {
    check_throws<degenerate_input_error>(call, direction, "a row of zeros", "after, row 2");
  });
  each(zero, good, [&](const auto& call) {
    check_throws<degenerate_input_error>(call, direction, "a row of zeros", "before, row 2");
  });

  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
    for (const index row : {0, 3})
      for (const index column : {0, 2}) {
        row_major broken = good;
        broken(row, column) = bad;
        const std::string got = std::isnan(bad) ? "nan" : "inf";
        const std::string at = ", row " + std::to_string(row) + ", column " + std::to_string(column);
        each(good, broken,
             [&](const auto& call) { check_throws<non_finite_error>(call, "finite values", got, "after" + at); });
        each(broken.cast<float>(), good,
             [&](const auto& call) { check_throws<non_finite_error>(call, "finite values", got, "before" + at); });
      }
}

}  // namespace
