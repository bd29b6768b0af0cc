#include <layerwise/metrics/curvature.hpp>

#include "hard_data.hpp"
#include "identical.hpp"
#include "laws/pair_metric_laws.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <string>
#include <vector>

namespace {

using layerwise::curvature;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::non_finite_error;
using layerwise::shape_error;
using layerwise::token_mask;
using namespace layerwise_test;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double pi = std::numbers::pi;

/// The definition, in long double: angles by the half angles of unit vectors.
double by_definition(const row_major& x, index sequence_length) {
  using vector = Eigen::Matrix<long double, 1, Eigen::Dynamic>;
  long double sum = 0;
  index sequences = 0;
  for (index first = 0; first < x.rows(); first += sequence_length, ++sequences) {
    const index length = std::min(sequence_length, x.rows() - first);
    long double angles = 0;
    for (index k = first; k + 2 < first + length; ++k) {
      vector v = x.row(k + 1).cast<long double>() - x.row(k).cast<long double>(),
             w = x.row(k + 2).cast<long double>() - x.row(k + 1).cast<long double>();
      v.normalize(), w.normalize();
      angles += 2 * std::atan2((v - w).norm(), (v + w).norm());
    }
    sum += angles / static_cast<long double>(length - 2);
  }
  return static_cast<double>(sum / static_cast<long double>(sequences));
}

TEST_CASE("worked value: a right angle, then half of one") {
  row_major z(4, 2);
  z << 0, 0, 1, 0, 1, 1, 2, 2;
  CHECK(curvature(z, 4) == near(1.1780972450961724, 2e-16));
  // Not of the tokens' own vectors, as others do: the path may be anywhere.
  CHECK(curvature(z.array() + 1024, 4) == near(1.1780972450961724, 2e-16));
  row_major twice(7, 2);  // and then a straight line, in a shorter sequence
  twice << z, 5, 5, 6, 7, 7, 9;
  CHECK(curvature(twice, 4) == near(1.1780972450961724 / 2, 2e-16));
}

TEST_CASE("straight is 0, to and fro is pi") {
  row_major line(5, 3), back(5, 3);
  for (index i = 0; i < 5; ++i) line.row(i) << 0.1, 3.0 * static_cast<double>(i * i), -static_cast<double>(i * i);
  for (index i = 0; i < 5; ++i) back.row(i) << 1, static_cast<double>(i % 2) * 3, static_cast<double>(i % 2) * 7;
  CHECK(curvature(line, 5) < 1e-15);
  CHECK(curvature(back, 5) == near(pi, 1e-15));
  // Almost straight: arccos would be off by 1e-8.
  row_major bent(3, 2);
  bent << 0, 0, 1, 0, 2, 1e-9;
  CHECK(curvature(bent, 3) == near(1e-9, 1e-12));
}

TEST_CASE("the definition in long double: lengths, offsets, scales; independent rows turn by 2 pi / 3") {
  std::mt19937_64 random(1);
  for (const index length : {3, 10, 64, 500})
    for (const double offset : {0.0, 1e8})
      for (const double scale : {1.0, 1e-150, 1e150, 0x1p-1000, 0x1p990}) {
        CAPTURE(length);
        CAPTURE(offset);
        CAPTURE(scale);
        const row_major x = (random_matrix(random, 500 - 500 % length, 33).array() + offset) * scale;
        CHECK(curvature(x, length) == near(by_definition(x, length), 1e-13));
      }
  row_major huge(3, 2);
  huge << -1.5e308, 0, 1.5e308, 0, 1.5e308, 1.5e308;
  CHECK(curvature(huge, 3) == near(pi / 2, 1e-15));
  CHECK(curvature(random_matrix(random, 4000, 300), 100) == doctest::Approx(2 * pi / 3).epsilon(0.002));
}

TEST_CASE("rotation, shift, forms, threads; padding left out") {
  std::mt19937_64 random(2);
  const row_major x = random_matrix(random, 120, 7).cast<Eigen::bfloat16>().cast<double>();
  const double expected = curvature(x, 40);
  CHECK(curvature(x * random_orthogonal(random, 7), 40) == near(expected, 1e-13));
  CHECK(curvature(x.rowwise() + Eigen::RowVectorXd::LinSpaced(7, -3, 3), 40) == near(expected, 1e-13));
  CHECK(std::abs(curvature(x * Eigen::VectorXd::LinSpaced(7, 1, 9).asDiagonal(), 40) - expected) > 1e-3);
  CHECK(curvature(x, 60) != expected);
  in_every_form(x, x, [&](const auto& a, const auto& b) {
    CHECK(curvature(a, 40) == expected);
    CHECK(curvature(b, 40) == expected);
  });
  for (const int threads : {1, 2}) CHECK(with_threads(threads, [&] { return curvature(x, 40); }) == expected);

  // Sequences of 40, 25 and none of 40 rows; behind them anything.
  row_major padded = x;
  padded.bottomRows(55).setConstant(nan);
  const std::array<index, 3> lengths{40, 25, 0};
  CHECK(curvature(padded, 40, token_mask::padding(lengths, 40)) == curvature(x.topRows(65), 40));
  padded.row(0).setConstant(HUGE_VAL), padded.row(40).setConstant(HUGE_VAL);
  const double inner = curvature(padded, 40, token_mask::padding(lengths, 40) & token_mask::skip_first(120, 40));
  CHECK(inner == near((curvature(x.middleRows(1, 39), 39) + curvature(x.middleRows(41, 24), 24)) / 2, 1e-15));
}

TEST_CASE("what is refused") {
  std::mt19937_64 random(3);
  row_major x = random_matrix(random, 12, 3);
  check_throws<shape_error>([&] { curvature(x, 2); }, "sequence_length >= 3", "2", "curvature");
  check_throws<degenerate_input_error>([&] { curvature(x, 5); }, "sequences of at least 3 tokens", "2",
                                       "curvature, row 10");
  check_throws<degenerate_input_error>([&] { curvature(row_major(0, 3), 5); }, "a matrix with rows and columns",
                                       "0 x 3", "X");
  std::vector<bool> keep(12, true);
  keep[2] = false;
  check_throws<degenerate_input_error>([&] { curvature(x, 6, token_mask(keep)); },
                                       "tokens of a sequence one after the other", "row 3 after row 1", "curvature");
  check_throws<degenerate_input_error>([&] { curvature(x, 6, token_mask(std::vector<bool>(12, false))); },
                                       "at least one token", "none", "X");
  check_refused<shape_error>([&] { curvature(x, 6, token_mask(std::vector<bool>(11, true))); }, "token_mask");
  x.row(8) = x.row(7);
  check_throws<degenerate_input_error>([&] { curvature(x, 6); }, "a row that differs from the one before",
                                       "the same row again", "X, row 8");
  x.row(8) = x.row(5);
  x.row(6) = x.row(5);  // another sequence
  CHECK(std::isfinite(curvature(x, 6)));
  for (const double bad : {nan, HUGE_VAL})
    for (const index row : {0, 7, 11}) {
      row_major wrong = x;
      wrong(row, 1) = bad;
      check_refused<non_finite_error>([&] { curvature(wrong, 6); }, "(X, row " + std::to_string(row) + ", column 1)");
    }
}

}  // namespace
