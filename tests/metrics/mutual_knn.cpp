#include <layerwise/metrics/mutual_knn.hpp>

#include "hard_data.hpp"
#include "laws/pair_metric_laws.hpp"
#include "reference/neighbours_data.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::mutual_knn;
using layerwise::non_finite_error;
using layerwise::option_error;
using layerwise::shape_error;
using layerwise::token_mask;
using namespace layerwise_test;

/// The definition: all inner products of unit rows in long double, sorted.
double by_definition(const row_major& x, const row_major& y, index k) {
  const auto neighbours = [&](const row_major& m, index i) {
    using vector = Eigen::Matrix<long double, 1, Eigen::Dynamic>;
    const vector unit = m.row(i).cast<long double>().normalized();
    std::vector<std::pair<long double, index>> others;
    for (index j = 0; j < m.rows(); ++j)
      if (j != i) others.emplace_back(-unit.dot(m.row(j).cast<long double>().normalized()), j);
    std::sort(others.begin(), others.end());
    std::vector<index> nearest;
    for (index r = 0; r < k; ++r) nearest.push_back(others[static_cast<std::size_t>(r)].second);
    return nearest;
  };
  index shared = 0;
  for (index i = 0; i < x.rows(); ++i) {
    const auto of_x = neighbours(x, i), of_y = neighbours(y, i);
    for (const index j : of_x) shared += std::count(of_y.begin(), of_y.end(), j);
  }
  return static_cast<double>(shared) / static_cast<double>(x.rows() * k);
}

struct alignment {
  double operator()(const auto& x, const auto& y, const token_mask& mask = {}) const {
    return mutual_knn(x, y, 10, mask);
  }
};

TEST_CASE("mutual kNN: what changes it and what does not") {
  laws::changes(laws::untyped(alignment()), {.rotation_x = true, .rotation_y = true, .scale = true});
  laws::forms_threads_and_masks(alignment());
}

TEST_CASE("worked value: five tokens of two dimensions") {
  const auto [x, y] = worked_pair();
  CHECK(mutual_knn(x, y, 2) == 0.6);
  CHECK(mutual_knn(x, y, 4) == 1.0);  // all others
  CHECK(mutual_knn(y, x, 2) == 0.6);
}

TEST_CASE("a published example: DADApy's overlap of neighbours in a plane and along one of its axes, 0.78") {
  // By Euclidean distance: far out on one side of the sphere that of directions is the same.
  row_major plane(40, 3), axis(40, 2);
  for (index i = 0; i < 40; ++i) {
    const double* const point = overlapping[i];
    plane.row(i) << 1, 1e-5 * point[0], 1e-5 * point[1];
    axis.row(i) << 1, 1e-5 * point[1];
  }
  CHECK(mutual_knn(plane, axis, 30) == near(0.78, 1e-15));
}

TEST_CASE("the definition in long double; the same rows agree on all, independent ones by chance") {
  std::mt19937_64 random(1);
  for (const index n : {2, 17, 200})
    for (const index k : {1, 3, 10, 150}) {
      if (k >= n) continue;
      CAPTURE(n);
      CAPTURE(k);
      const row_major x = random_matrix(random, n, 7), y = x * random_matrix(random, 7, 20) * 1e-200;
      CHECK(mutual_knn(x, y, k) == by_definition(x, y, k));
      CHECK(mutual_knn(x, x, k) == 1.0);
    }
  const row_major x = random_matrix(random, 1000, 20), y = random_matrix(random, 1000, 20);
  CHECK(mutual_knn(x, y) == doctest::Approx(10.0 / 999).epsilon(0.15));
}

TEST_CASE("rows of almost one direction: neighbours that inner products in double do not tell") {
  std::mt19937_64 random(2);
  const row_major noise = random_matrix(random, 200, 5);
  row_major x = noise;
  x.array() += 1e8;  // angles of 1e-8: inner products that differ by 1e-16
  // Where all rows are as long as the offset, the nearest in direction are the nearest in the plane across it.
  const row_major across = noise.colwise() - noise.rowwise().mean();
  index apart = 0, agree = 0;
  for (index i = 0; i < 200; ++i) {
    const auto nearest = [&](const row_major& m, const auto& distance) {
      index best = i == 0 ? 1 : 0;
      for (index j = 0; j < 200; ++j)
        if (j != i && distance(m, j) < distance(m, best)) best = j;
      return best;
    };
    const index by_product =
        nearest(x, [&](const row_major& m, index j) { return -m.row(i).normalized().dot(m.row(j).normalized()); });
    const index expected =
        nearest(across, [&](const row_major& m, index j) { return (m.row(i) - m.row(j)).squaredNorm(); });
    const row_major unit = layerwise::detail::row_block(x.rowwise().normalized());
    const auto got = layerwise::detail::neighbours_of(layerwise::detail::near_rows(unit, 1), i, 1)[0];
    agree += got[0] == expected;
    apart += by_product != expected;
  }
  CHECK(agree >= 180);
  CHECK(apart >= 40);
}

TEST_CASE("ties: repeated tokens, those of lower index first") {
  row_major x(6, 2), y(6, 2);
  x << 1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1;
  y << 1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 0, 1;
  // Nearest in x: 1, 0, 0, 0, 5, 4. In y: 1, 0, 3, 2, 0, 2.
  CHECK(mutual_knn(x, y, 1) == 2.0 / 6.0);
  row_major equal = row_major::Ones(30, 3);
  CHECK(mutual_knn(equal, equal, 7) == 1.0);
}

TEST_CASE("what is refused") {
  std::mt19937_64 random(3);
  row_major x = random_matrix(random, 12, 3);
  const row_major y = random_matrix(random, 12, 4);
  check_throws<option_error>([&] { mutual_knn(x, y, 0); }, "k in 1..11", "0", "mutual_knn");
  check_throws<option_error>([&] { mutual_knn(x, y, 12); }, "k in 1..11", "12", "mutual_knn");
  check_throws<option_error>([&] { mutual_knn(x.topRows(10), y.topRows(10)); }, "k in 1..9", "10", "mutual_knn");
  check_throws<shape_error>([&] { mutual_knn(x, y.topRows(11)); }, "12 rows, as in X", "11 x 4", "Y");
  check_throws<degenerate_input_error>([&] { mutual_knn(x.topRows(1), y.topRows(1), 1); }, "at least 2 tokens", "1",
                                       "X");
  check_refused<degenerate_input_error>([&] { mutual_knn(x.topRows(0), y.topRows(0)); }, "0 x 3");
  const token_mask nothing(std::vector<bool>(12, false)), longer(std::vector<bool>(13, true));
  check_throws<degenerate_input_error>([&] { mutual_knn(x, y, 3, nothing); }, "at least 2 tokens", "0", "X");
  check_refused<shape_error>([&] { mutual_knn(x, y, 3, longer); }, "token_mask");
  x.row(7).setZero();
  check_throws<degenerate_input_error>([&] { mutual_knn(x, y); }, "a row other than zero", "a row of zeros",
                                       "X, row 7");
  check_throws<degenerate_input_error>([&] { mutual_knn(y, x); }, "a row other than zero", "a row of zeros",
                                       "Y, row 7");
  for (const double bad : {HUGE_VAL, std::numeric_limits<double>::quiet_NaN()}) {
    x(7, 1) = bad;
    check_refused<non_finite_error>([&] { mutual_knn(x, y); }, "(X, row 7, column 1)");
    check_refused<non_finite_error>([&] { mutual_knn(y, x); }, "(Y, row 7, column 1)");
  }
}

}  // namespace
