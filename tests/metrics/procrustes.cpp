#include <layerwise/metrics/procrustes.hpp>

#include "exact_regression.hpp"
#include "exact_svd.hpp"
#include "hard_data.hpp"
#include "laws/pair_metric_laws.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <vector>

namespace {

using layerwise::centering;
using layerwise::cross_moments;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::non_finite_error;
using layerwise::option_error;
using layerwise::procrustes;
using layerwise::procrustes_result;
using layerwise::second_moments;
using layerwise::shape_error;
using namespace layerwise_test;

/// From the definition, of the rows themselves in long double, by Jacobi rotations.
struct exact_procrustes {
  long double similarity = 0, distance, angle, size_and_shape;

  exact_procrustes(const row_major& data_x, const row_major& data_y) {
    long_matrix x = exact_values(data_x), y = exact_values(data_y);
    center_exactly(x);
    center_exactly(y);
    const long double x_norm = x.norm(), y_norm = y.norm();
    for (const long double value : exact_singular_values(x.transpose() * y / x_norm / y_norm)) similarity += value;
    similarity = std::min(similarity, 1.0L);
    distance = std::sqrt(2 - 2 * similarity);
    angle = std::acos(similarity);
    const long double difference = x_norm - y_norm;
    size_and_shape = std::sqrt(difference * difference + x_norm * y_norm * distance * distance);
  }
};

double off(double value, long double exact) { return static_cast<double>(std::abs(value - exact)); }

void check_within_bounds(const procrustes_result& result, const exact_procrustes& exact, double scale = 1.0) {
  CHECK(off(result.similarity, exact.similarity) <= result.error_bound);
  CHECK(off(result.squared_distance, exact.distance * exact.distance) <= 2 * result.error_bound);
  CHECK(off(result.distance, exact.distance) <= result.distance_error_bound);
  CHECK(off(result.angle, exact.angle) <= result.angle_error_bound);
  CHECK(off(result.size_and_shape_distance / scale, exact.size_and_shape) <= result.size_and_shape_error_bound / scale);
}

struct comparison {
  auto operator()(const auto& x, const auto& y, const layerwise::token_mask& mask = {}) const {
    return procrustes(x, y, mask).similarity;
  }
  auto operator()(const cross_moments& moments) const { return procrustes(moments).similarity; }
};

/// With the size and shape distance as its value.
struct size_and_shape {
  auto operator()(const auto& x, const auto& y, const layerwise::token_mask& mask = {}) const {
    return procrustes(x, y, mask).size_and_shape_distance;
  }
  auto operator()(const cross_moments& moments) const { return procrustes(moments).size_and_shape_distance; }
};

TEST_CASE("Procrustes: what changes it and what does not") {
  const auto both = [] { return cross_moments(second_moments::both); };
  check_pair_metric(comparison(), {.rotation_x = true, .rotation_y = true, .scale = true, .shift = true}, both);
  check_pair_metric(size_and_shape(), {.rotation_x = true, .rotation_y = true, .shift = true, .same_scale = false},
                    both);
}

TEST_CASE("worked value: five tokens of two dimensions") {
  const auto [x, y] = worked_pair();
  const procrustes_result result = procrustes(x, y);
  CHECK(result.similarity == near(0.9253576026376481, 1e-15));
  CHECK(result.squared_distance == near(0.1492847947247038));
  CHECK(result.distance == near(0.3863739053361443));
  CHECK(result.angle == near(0.3888185109942866));
  CHECK(result.size_and_shape_distance == near(2.6327188544897226));
  CHECK(result.error_bound < 1e-13);
  CHECK(result.distance_error_bound < 1e-12);
  CHECK(result.tokens == 5);
  CHECK(result.x_dimensions == 2);
}

TEST_CASE("the definition in long double, within the bounds: any widths, offsets, closeness and scale") {
  std::mt19937_64 random(1);
  for (const index n : {3, 40, 600})
    for (const double offset : {0.0, 1e4})
      for (const double noise : {1e-7, 1e-3, 0.3, 10.0})
        for (const double scale : {1.0, 0x1p400, 0x1p-400, 0x1p600, 0x1p-600}) {
          const row_major x = random_matrix(random, n, 6).array() + offset;
          const row_major same = x * random_orthogonal(random, 6) + noise * random_matrix(random, n, 6),
                          wide = same * random_matrix(random, 6, 9);
          CAPTURE(n);
          CAPTURE(offset);
          CAPTURE(noise);
          CAPTURE(scale);
          for (const row_major& y : {same, wide}) {
            const procrustes_result result = procrustes(row_major(x * scale), row_major(y * scale));
            const exact_procrustes exact(x, y);
            check_within_bounds(result, exact, scale);
            CHECK(result.error_bound < 1e-11);
            CHECK(result.y_dimensions == y.cols());
          }
          const procrustes_result swapped = procrustes(row_major(wide * scale), row_major(x / scale));
          CHECK(off(swapped.similarity, exact_procrustes(wide, x).similarity) <= swapped.error_bound);
        }
}

TEST_CASE("hard data: spectra, outliers, offsets, dead and dependent columns, many dimensions") {
  std::mt19937_64 random(2);
  for (int round = 0; round < 40; ++round) {
    hard_case c;
    c.n = random_index(random, 2, 700), c.d_x = random_index(random, 1, 40), c.d_y = random_index(random, 1, 40);
    c.target = pick(random, std::vector{target_kind::map_and_noise, target_kind::weakest, target_kind::independent});
    if (round % 4 == 0) c.d_y = c.d_x, c.target = target_kind::update;
    c.level = pick(random, std::vector{1e-9, 1e-4, 1.0});
    c.condition = pick(random, std::vector{1.0, 1e3, 1e8});
    c.outlier = pick(random, std::vector{1.0, 1e4});
    c.offset = pick(random, std::vector{0.0, 1e3, 1e8});
    c.duplicates = round % 3, c.dead = round % 2;
    CAPTURE(c);
    const auto [x, y] = make_data(random, c);
    check_within_bounds(procrustes(x, y), exact_procrustes(x, y));
  }
  const row_major x = random_matrix(random, 300, 70), y = x + 0.5 * random_matrix(random, 300, 70);
  const exact_procrustes exact(x, y);
  check_within_bounds(procrustes(x, y), exact);
  CHECK(off(procrustes(x, y).similarity, exact.similarity) < 1e-14);
}

TEST_CASE("equal layers, rotated, scaled and moved, are at a distance of 0, as far as moments can tell") {
  std::mt19937_64 random(3);
  for (const index d : {1, 5, 40}) {
    const row_major x = random_matrix(random, 300, d);
    const row_major y = (7.0 * x * random_orthogonal(random, d)).array() + 100.0;
    for (const auto& result : {procrustes(x, x), procrustes(x, y)}) {
      CHECK(result.similarity == near(1.0, 1e-14));
      CHECK(result.similarity <= 1.0);
      CHECK(result.distance < 1e-6);
      CHECK(result.distance <= result.distance_error_bound);
      CHECK(result.distance_error_bound < 1e-5);
      CHECK(result.angle <= result.angle_error_bound);
    }
    CHECK(procrustes(x, x).size_and_shape_distance <= procrustes(x, x).size_and_shape_error_bound);
    const double size = (x.rowwise() - x.colwise().mean()).norm();
    CHECK(procrustes(x, y).size_and_shape_distance == near(6.0 * size, 1e-7));
  }
}

TEST_CASE("no rotation of the rows brings them nearer, and the best one as near") {
  std::mt19937_64 random(7);
  row_major x = random_matrix(random, 50, 2), y = random_matrix(random, 50, 2);
  y.col(0) += x.col(1);
  x.rowwise() -= x.colwise().mean().eval();
  y.rowwise() -= y.colwise().mean().eval();
  const procrustes_result result = procrustes(x, y);
  double nearest = 10.0, nearest_sizes = 1e10;
  for (int step = 0; step < 20000; ++step) {  // all rotations and reflections of the plane
    const double turn = 1e-4 * std::numbers::pi * step;
    for (const double sign : {1.0, -1.0}) {
      row_major q(2, 2);
      q << std::cos(turn), sign * std::sin(turn), -std::sin(turn), sign * std::cos(turn);
      nearest = std::min(nearest, (x * q / x.norm() - y / y.norm()).norm());
      nearest_sizes = std::min(nearest_sizes, (x * q - y).norm());
    }
  }
  CHECK(nearest == near(result.distance, 1e-7));
  CHECK(nearest_sizes == near(result.size_and_shape_distance, 1e-7));
}

TEST_CASE("orthogonal layers are at the largest distance, and the triangle inequality holds") {
  row_major x(4, 1), y(4, 1);
  x << 1, -1, 1, -1;
  y << 1, 1, -1, -1;
  const procrustes_result result = procrustes(x, y);
  CHECK(result.similarity == 0.0);
  CHECK(result.distance == near(std::sqrt(2.0)));
  CHECK(result.angle == near(std::numbers::pi / 2));
  CHECK(result.size_and_shape_distance == near(std::sqrt(8.0)));
  std::mt19937_64 random(4);
  for (int round = 0; round < 6; ++round) {
    const row_major a = random_matrix(random, 31, 30), b = a + random_matrix(random, 31, 30),
                    c = random_matrix(random, 31, 30);
    const auto ab = procrustes(a, b), bc = procrustes(b, c), ac = procrustes(a, c);
    CHECK(ac.distance <= ab.distance + bc.distance);
    CHECK(ac.angle <= ab.angle + bc.angle);
    CHECK(ac.size_and_shape_distance <= ab.size_and_shape_distance + bc.size_and_shape_distance);
  }
}

TEST_CASE("where nothing is known the bound is all there is, and nothing NaN") {
  row_major x = row_major::Zero(1024, 1), steps(1024, 1);
  for (index i = 0; i < 1024; ++i) {
    steps(i, 0) = i % 2 == 0 ? 0x1p-700 : -0x1p-700;
    if (i >= 512) x(i, 0) = 0x1p190 * (static_cast<double>(i % 4) - 1.5);
  }
  for (const auto& result : {procrustes(x, steps), procrustes(steps, x)}) {
    CHECK(result.similarity >= 0.0);
    CHECK(result.similarity <= 1.0);
    CHECK(off(result.similarity, std::sqrt(0.1L)) <= result.error_bound);
    CHECK(std::isfinite(result.distance_error_bound));
    CHECK(std::isfinite(result.angle_error_bound));
  }
}

TEST_CASE("moments that were merged far apart: what they lost the bounds say") {
  std::mt19937_64 random(5);
  row_major x = random_matrix(random, 900, 4), y = x;
  x.bottomRows(400).array() += 1e9;
  y.bottomRows(400).array() -= 1e9;
  cross_moments moments(second_moments::both), rest(second_moments::both);
  moments.add(x.topRows(500), y.topRows(500));
  rest.add(x.bottomRows(400), y.bottomRows(400));
  moments.merge(rest);
  check_within_bounds(procrustes(moments), exact_procrustes(x, y));
}

TEST_CASE("errors say what was expected") {
  std::mt19937_64 random(6);
  row_major x = random_matrix(random, 20, 3), y = random_matrix(random, 20, 2);
  cross_moments input;
  input.add(x, y);
  check_throws<option_error>([&] { procrustes(input); }, "moments of both (see second_moments::both)",
                             "moments of the input", "procrustes");
  cross_moments both(second_moments::both);
  check_throws<degenerate_input_error>([&] { procrustes(both); }, "at least one token", "none", "X");
  both.add(x, y);
  check_throws<option_error>([&] { procrustes(both.scatter(centering::none)); }, "moments about the means",
                             "centering::none", "procrustes");
  check_throws<degenerate_input_error>([&] { procrustes(x, row_major::Constant(20, 2, 0.1)); }, "rows that differ",
                                       "no variance", "Y");
  check_throws<shape_error>([&] { procrustes(x, y.topRows(19)); }, "20 rows, as in X", "19 x 2", "Y");
  row_major huge(20, 1);
  for (index i = 0; i < 20; ++i) huge(i, 0) = i % 2 == 0 ? 1.7e308 : -1.7e308;
  check_throws<non_finite_error>([&] { procrustes(huge, y); }, "a norm within the range of double", "inf", "X");
  y(4, 1) = std::numeric_limits<double>::quiet_NaN();
  check_throws<non_finite_error>([&] { procrustes(x, y); }, "finite values", "nan", "Y, row 4, column 1");
}

}  // namespace
