#include <layerwise/metrics/intrinsic_dimension.hpp>

#include "hard_data.hpp"
#include "identical.hpp"
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
#include <vector>

namespace {

using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::intrinsic_dimension;
using layerwise::intrinsic_dimension_options;
using layerwise::non_finite_error;
using layerwise::option_error;
using layerwise::shape_error;
using layerwise::token_mask;
using layerwise::twonn_fit;
using namespace layerwise_test;

constexpr intrinsic_dimension_options likelihood{.fit = twonn_fit::maximum_likelihood};

template <std::size_t n, std::size_t d>
row_major matrix_of(const double (&values)[n][d]) {
  return row_major::Map(values[0], static_cast<index>(n), static_cast<index>(d));
}

/// The definition in long double, of all points; no two of them are equal.
double by_definition(const row_major& x, double fraction) {
  const index n = x.rows();
  std::vector<long double> logs;
  for (index i = 0; i < n; ++i) {
    std::vector<long double> distances;
    for (index j = 0; j < n; ++j)
      if (i != j) distances.push_back((x.row(i).cast<long double>() - x.row(j).cast<long double>()).norm());
    std::sort(distances.begin(), distances.end());
    logs.push_back(std::log(distances[1] / distances[0]));
  }
  std::sort(logs.begin(), logs.end());
  long double above = 0, below = 0;
  for (index i = 1; i <= static_cast<index>(fraction * static_cast<double>(n)); ++i) {
    const long double log = logs[static_cast<std::size_t>(i - 1)];
    above -= log * std::log1p(-static_cast<long double>(i) / static_cast<long double>(n));
    below += log * log;
  }
  return static_cast<double>(above / below);
}

TEST_CASE("worked values: 0, 1, 3, 7, 15 on a line") {
  const row_major line = (row_major(5, 1) << 0, 1, 3, 7, 15).finished();
  const auto fit = intrinsic_dimension(line), ml = intrinsic_dimension(line, likelihood);
  CHECK(fit.dimension == near(1.8329829959945967, 1e-15));
  CHECK(ml.dimension == near(1.3297188058850222, 1e-15));
  CHECK(fit.tokens == 5);
  CHECK(fit.sampled == 5);
  CHECK(fit.kept == 5);
  CHECK(fit.duplicates == 0);
  CHECK(fit.ratios == 4);
  CHECK(ml.ratios == 5);
  // The lowest fifth, as llm-microscope takes it.
  CHECK(intrinsic_dimension(line, {.fraction = 0.2}).dimension == near(0.5503397132132084, 1e-15));
}

TEST_CASE("published examples: DADApy's two Gaussians, scikit-dimension's ball; where another rule finds 3.3 and 8.1") {
  const row_major two = matrix_of(gaussians), inside = matrix_of(ball);
  CHECK(intrinsic_dimension(two).dimension == near(1.8549132954537941, 1e-13));
  CHECK(intrinsic_dimension(two, likelihood).dimension == near(2.0007552986718955, 1e-13));
  CHECK(intrinsic_dimension(two, {.fraction = 0.2}).dimension == near(3.297798165956943, 1e-13));
  CHECK(intrinsic_dimension(inside).dimension == near(4.522311661670989, 1e-13));
  CHECK(intrinsic_dimension(inside, {.fraction = 0.95}).dimension == near(4.634032718914453, 1e-13));
  CHECK(intrinsic_dimension(inside, likelihood).dimension == near(4.767867670627854, 1e-13));
  CHECK(intrinsic_dimension(inside, {.fraction = 0.2}).dimension == near(8.088799987099057, 1e-13));
}

TEST_CASE("the definition in long double: offsets and scales") {
  std::mt19937_64 random(1);
  for (const index n : {3, 17, 150})
    for (const index d : {1, 5, 40})
      for (const double offset : {0.0, 1e8})
        for (const double scale : {1.0, 1e-150, 1e150, 0x1p-960, 0x1p990}) {
          CAPTURE(n);
          CAPTURE(offset);
          CAPTURE(scale);
          const row_major x = (random_matrix(random, n, d).array() + offset) * scale;
          CHECK(intrinsic_dimension(x).dimension == near(by_definition(x, 0.9), 1e-12));
        }
}

TEST_CASE("small distances beside large numbers, and ratios near 1") {
  std::mt19937_64 random(2);
  row_major x = row_major::Ones(60, 3) * 0x1p300;
  x.leftCols(2) = random_matrix(random, 60, 2) * 0x1p-600;
  CHECK(intrinsic_dimension(x).dimension == near(by_definition(x, 0.9), 1e-12));
  // A line at steps that grow by 1e-3 each.
  row_major line(40, 1);
  double place = 0, step = 1;
  for (index i = 0; i < 40; ++i, place += step, step *= 1 + 1e-3) line(i, 0) = place;
  CHECK(intrinsic_dimension(line).dimension == near(by_definition(line, 0.9), 1e-12));
}

TEST_CASE("duplicates are removed and counted, wherever they are; -0 is 0") {
  std::mt19937_64 random(3);
  const row_major x = random_matrix(random, 90, 4);
  row_major repeated(150, 4);
  for (index i = 0; i < 150; ++i) repeated.row(i) = x.row(i < 90 ? i : (7 * i) % 30);
  const auto expected = intrinsic_dimension(x), got = intrinsic_dimension(repeated);
  CHECK(got.dimension == expected.dimension);
  CHECK(got.kept == 90);
  CHECK(got.duplicates == 60);
  CHECK(got.sampled == 150);
  row_major zeros = row_major::Zero(6, 2);
  zeros(0, 0) = -0.0;
  zeros.bottomRows(4).col(0) << 1, 3, 7, 15;
  CHECK(intrinsic_dimension(zeros).duplicates == 1);
  CHECK(intrinsic_dimension(zeros).dimension == near(1.8329829959945967, 1e-15));
}

TEST_CASE("a sample says so, meets no period, and is the same for any threads") {
  std::mt19937_64 random(4);
  row_major x = random_matrix(random, 1000, 3);
  for (index i = 0; i < 1000; i += 10) x.row(i).setZero();  // the first token of every sequence
  const auto all = intrinsic_dimension(x), some = intrinsic_dimension(x, {.sample = 100});
  CHECK(all.duplicates == 99);
  CHECK(some.tokens == 1000);
  CHECK(some.sampled == 100);
  CHECK(some.duplicates > 2);
  CHECK(some.duplicates < 20);
  CHECK(some.dimension == doctest::Approx(3).epsilon(0.3));
  CHECK(intrinsic_dimension(x, {.sample = 1000}).dimension == all.dimension);
  for (const int threads : {1, 2}) check_identical(with_threads(threads, [&] { return intrinsic_dimension(x); }), all);
  for (const index n : {100, 101, 150, 4097, 100000}) {
    const auto chosen = layerwise::detail::spread_out(n, 100);
    for (std::size_t i = 0; i < 100; ++i) {
      CHECK(chosen[i] >= n * static_cast<index>(i) / 100);
      CHECK(chosen[i] < n * static_cast<index>(i + 1) / 100);
    }
  }
}

TEST_CASE("rotation, translation, factors, forms, masks; a plane in many dimensions is one") {
  std::mt19937_64 random(5);
  const row_major x = random_matrix(random, 200, 6).cast<Eigen::bfloat16>().cast<double>();
  const auto expected = intrinsic_dimension(x);
  const auto near_it = near(expected.dimension, 1e-12);
  CHECK(intrinsic_dimension(x * random_orthogonal(random, 6)).dimension == near_it);
  CHECK(intrinsic_dimension(x.rowwise() + Eigen::RowVectorXd::LinSpaced(6, -3, 3)).dimension == near_it);
  CHECK(intrinsic_dimension(x * -3.0).dimension == near_it);
  CHECK(intrinsic_dimension(x.colwise().reverse()).dimension == near_it);
  in_every_form(x, x, [&](const auto& a, const auto& b) {
    check_identical(intrinsic_dimension(a), expected);
    check_identical(intrinsic_dimension(b), expected);
  });
  row_major marked(300, 6);
  std::vector<bool> keep;
  for (index i = 0; i < 300; ++i) {
    keep.push_back(i % 3 != 0);
    if (keep.back())
      marked.row(i) = x.row(i - i / 3 - 1);
    else
      marked.row(i).setConstant(HUGE_VAL);
  }
  check_identical(intrinsic_dimension(marked, {}, token_mask(keep)), expected);
  const row_major plane = random_matrix(random, 1500, 2) * random_matrix(random, 2, 50);
  CHECK(intrinsic_dimension(plane).dimension == doctest::Approx(2).epsilon(0.1));
  CHECK(intrinsic_dimension(plane, likelihood).dimension == doctest::Approx(2).epsilon(0.1));
}

TEST_CASE("what is refused") {
  std::mt19937_64 random(6);
  row_major x = random_matrix(random, 12, 3);
  for (const double fraction : {0.0, 1.0, -1.0, 2.0, std::numeric_limits<double>::quiet_NaN()})
    check_refused<option_error>([&] { intrinsic_dimension(x, {.fraction = fraction}); }, "between 0 and 1");
  check_throws<option_error>([&] { intrinsic_dimension(x, {.sample = 2}); }, "a sample of at least 3 tokens", "2",
                             "intrinsic_dimension_options");
  check_throws<degenerate_input_error>([&] { intrinsic_dimension(x.topRows(2)); }, "at least 3 different rows", "2",
                                       "X");
  check_throws<degenerate_input_error>([&] { intrinsic_dimension(row_major::Ones(9, 3)); }, "at least 3 different rows",
                                       "1", "X");
  check_refused<degenerate_input_error>([&] { intrinsic_dimension(row_major(0, 3)); }, "0 x 3");
  const token_mask nothing(std::vector<bool>(12, false)), longer(std::vector<bool>(13, true));
  check_throws<degenerate_input_error>([&] { intrinsic_dimension(x, {}, nothing); }, "at least 3 different rows", "0",
                                       "X");
  check_refused<shape_error>([&] { intrinsic_dimension(x, {}, longer); }, "token_mask");
  row_major square(4, 2);
  square << 0, 0, 0, 1, 1, 0, 1, 1;
  check_throws<degenerate_input_error>([&] { intrinsic_dimension(square); },
                                       "points whose two nearest ones are not equally far", "equal distances",
                                       "intrinsic_dimension");
  check_refused<degenerate_input_error>([&] { intrinsic_dimension(square, likelihood); }, "equal distances");
  check_refused<degenerate_input_error>([&] { intrinsic_dimension(x, {.fraction = 0.01}); });
  for (const double bad : {HUGE_VAL, std::numeric_limits<double>::quiet_NaN()}) {
    x(7, 1) = bad;
    check_refused<non_finite_error>([&] { intrinsic_dimension(x); }, "(X, row 7, column 1)");
  }
}

}  // namespace
