#include <layerwise/training/cosine.hpp>

#include "quad.hpp"
#include "training/regularizer_checks.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>

namespace {

using layerwise::cosine_regularizer;
using layerwise::index;
using layerwise::jreg_regularizer;
using layerwise::non_finite_error;
using layerwise::reduction;
using namespace layerwise_test;

TEST_CASE("worked example") {
  const states h = worked_example();
  CHECK(cosine_regularizer{0.5}.value(h) == 0.5);
  CHECK(cosine_regularizer{.lambda = 0.5, .reduction = reduction::sum}.value(h) == 1);

  states g = zeros_like(h);
  CHECK(cosine_regularizer{1, reduction::sum}.value_and_gradient(h, g) == 2);
  const states expected{(row_major(2, 2) << 0, -1, 0, 0).finished(), (row_major(2, 2) << -2, 0, 0, 0).finished(),
                        (row_major(2, 2) << 0, -0.5, 0, 0).finished()};
  CHECK(largest_difference(g, expected) < 1e-15);
}

TEST_CASE("gradients of nearly parallel and nearly opposite rows do not cancel") {
  std::mt19937 random(3);
  for (const double theta : {1e-10, 1e-7, 1e-4, 1e-2}) {
    for (const double sign : {1., -1.}) {
      const row_major u = random_matrix(random, 6, 40), across = random_matrix(random, 6, 40);
      const states h{u, sign * 2.5 * (u + theta * across)};
      states g = zeros_like(h);
      cosine_regularizer{1, reduction::sum}.value_and_gradient(h, g);
      for (index t = 0; t < 6; ++t) {
        const Eigen::Matrix<long double, 1, Eigen::Dynamic> a = h[0].row(t).cast<long double>(),
                                                            b = h[1].row(t).cast<long double>();
        // -(b^ - c a^)/||a||, by projection
        const long double along = a.dot(b) / a.squaredNorm(), back = a.dot(b) / b.squaredNorm();
        const auto of_a = (-(b - along * a) / (a.norm() * b.norm())).eval();
        const auto of_b = (-(a - back * b) / (a.norm() * b.norm())).eval();
        // Rounding of the rows themselves moves the gradient by 1e-16 / ||a||.
        CAPTURE(theta);
        CAPTURE(sign);
        CHECK(static_cast<double>((g[0].row(t).cast<long double>() - of_a).norm() * a.norm()) < 1e-15);
        CHECK(static_cast<double>((g[1].row(t).cast<long double>() - of_b).norm() * b.norm()) < 1e-15);
      }
    }
  }
}

TEST_CASE("a turn does not see a row's length: the gradient is orthogonal to the row, and as 1/||h||") {
  std::mt19937 random(4);
  for (int i = 0; i < 20; ++i) {
    const index n = 3 + i, d = 2 + i;
    const states h = random_states(random, 4, n, d);
    states g = zeros_like(h);
    cosine_regularizer{1}.value_and_gradient(h, g);
    states longer = h, of_longer = zeros_like(h);
    for (row_major& m : longer) m *= 8;
    CHECK(cosine_regularizer{1}.value_and_gradient(longer, of_longer) == cosine_regularizer{1}.value(h));
    for (std::size_t l = 0; l < h.size(); ++l) {
      CHECK((g[l].array() * h[l].array()).rowwise().sum().abs().maxCoeff() < 1e-15);
      CHECK(8 * of_longer[l] == g[l]);
    }
  }
}

TEST_CASE("rows of any finite size") {
  std::mt19937 random(11);
  const index n = 8, d = 12;
  states h = random_states(random, 3, n, d);
  h[1] = h[0] + 0.1 * h[1];
  h[2] = h[1] + 0.1 * h[2];
  for (const double a : {1e-310, 1e-200, 1., 1e160, 3e307})
    for (const double b : {1e-305, 1e-71, 1e69, 1e300}) {
      CAPTURE(a);
      CAPTURE(b);
      for (index t = 0; t < n; ++t) {
        const states extreme{a * h[0].row(t), b * h[1].row(t), a * h[2].row(t)};
        states g = zeros_like(extreme);
        const auto both = [&] { return cosine_regularizer{1}.value_and_gradient(extreme, g); };
        const long_states expected = turn_gradients(converted(extreme), {1, 1});
        if (largest_of(expected) > static_cast<long double>(std::numeric_limits<double>::max())) {
          CHECK_THROWS_AS((void)both(), non_finite_error);
          continue;
        }
        CHECK(both() == near(static_cast<double>(turns(converted(extreme), {1, 1})), 1e-13));
        for (std::size_t l = 0; l < 3; ++l)
          CHECK(largest_difference(states{g[l]}, long_states{expected[l]}) <=
                std::max(static_cast<double>(1e-14L / extreme[l].cast<long double>().norm()), 5e-324));
      }
    }
}

TEST_CASE("a gradient beyond the range of double is refused with its place") {
  states turn(3, row_major(2, 2)), g = zeros_like(turn);
  for (row_major& m : turn) m << 1, 1, 0x1p-1030, 0;
  turn[2].row(1) << 0, 1;
  check_throws<non_finite_error>([&] { (void)cosine_regularizer{1}.value_and_gradient(turn, g); },
                                 "a gradient within the range of double", "-inf",
                                 "gradients, layer 1, row 1, column 1");
  CHECK(cosine_regularizer{1}.value(turn) == 0.5);
}

TEST_CASE("a gradient is as good in relative terms at any angle, for rows of any two lengths") {
  using layerwise_test::quad;
  std::mt19937 random(17);
  const index d = 40;
  for (const double theta : {1e-1, 1.2e-2, 0.8e-2, 1e-3, 1e-5, 1e-8, 1e-10, 1e-12})
    for (const double length : {1., -1., 1 + 1e-9, 2.5, -2.5, 1e-5, -1e3, 1e100})
      for (int repeat = 0; repeat < 5; ++repeat) {
        CAPTURE(theta);
        CAPTURE(length);
        const row_major u = random_matrix(random, 1, d);
        const states h{u, length * (u + theta * random_matrix(random, 1, d)), u};
        const auto check = [&](const auto& regularizer, double weight) {
          states g(2, row_major::Zero(1, d));
          regularizer.value_and_gradient(states{h[0], h[1]}, g);
          states both = zeros_like(h);
          regularizer.value_and_gradient(h, both);
          for (std::size_t l = 0; l < 2; ++l) {
            const row_major &own = h[l], &other = h[1 - l];
            quad squares = 0, other_squares = 0, product = 0, error = 0, size = 0;
            for (index j = 0; j < d; ++j) {
              const quad a(own(0, j)), b(other(0, j));
              squares += a * a, other_squares += b * b, product += a * b;
            }
            for (index j = 0; j < d; ++j) {
              const quad expected = -quad(weight) * (quad(other(0, j)) - product / squares * quad(own(0, j))) /
                                    sqrt(squares * other_squares);
              const quad difference = quad(g[l](0, j)) - expected;
              error += difference * difference, size += expected * expected;
            }
            // 1e-16 / theta where rows are not yet nearly parallel, and no more than at 1e-2 below.
            const double tolerance = std::min(1e-15 / theta, 1e-13);
            CHECK(static_cast<double>(sqrt(error / size)) < (theta < 0.5e-2 ? 1e-15 : tolerance));
          }
          // Between two neighbours alike: twice the gradient, at half the weight in JREG's mean.
          CHECK((both[1] - (weight < 1 ? 1 : 2) * g[1]).norm() <= 1e-15 * both[1].norm());
        };
        check(cosine_regularizer{1}, 1);
        check(jreg_regularizer{1, 0}, 0.5);
      }
}

}  // namespace
