#include <layerwise/metrics/canonical_correlations.hpp>

#include "exact_canonical.hpp"
#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "laws/pair_metric_laws.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace {

using layerwise::canonical_correlations;
using layerwise::cca;
using layerwise::cca_result;
using layerwise::centering;
using layerwise::cross_moments;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::mean_cca;
using layerwise::non_finite_error;
using layerwise::option_error;
using layerwise::second_moments;
using layerwise::shape_error;
using namespace layerwise_test;

/// Every correlation within the bound of the exact one.
void check_within_bound(const cca_result& result, const std::vector<long double>& exact) {
  REQUIRE(static_cast<std::size_t>(result.correlations.size()) == exact.size());
  long double mean = 0, mean_square = 0;
  for (std::size_t k = 0; k < exact.size(); ++k) {
    const double rho = result.correlations[static_cast<index>(k)];
    CHECK(std::abs(static_cast<double>(rho - exact[k])) <= result.error_bound);
    mean += exact[k] / static_cast<long double>(exact.size());
    mean_square += exact[k] * exact[k] / static_cast<long double>(exact.size());
  }
  CHECK(std::abs(static_cast<double>(result.mean - mean)) <= result.error_bound);
  CHECK(std::abs(static_cast<double>(result.mean_square - mean_square)) <= 2 * result.error_bound);
}

void check_within_bound(const cca_result& result, const row_major& x, const row_major& y) {
  check_within_bound(result, exact_canonical(x, y).correlations);
}

struct correlations {
  auto operator()(const auto& x, const auto& y, const layerwise::token_mask& mask = {}) const {
    return cca(x, y, mask);
  }
  auto operator()(const cross_moments& moments) const { return cca(moments); }
};

TEST_CASE("CCA: what changes it and what does not") {
  check_pair_metric(correlations(),
                    {.rotation_x = true, .rotation_y = true, .scale = true, .shift = true, .linear_x = true},
                    [] { return cross_moments(second_moments::both); });
  std::mt19937_64 random(1);
  const row_major x = random_matrix(random, 300, 5), y = x + random_matrix(random, 300, 5);
  const row_major turned = (y * random_invertible(random, 5)).array() + 3.0;
  CHECK((canonical_correlations(x, turned) - canonical_correlations(x, y)).norm() < 1e-13);
}

TEST_CASE("worked values: five tokens of two dimensions") {
  const auto [x, y] = worked_pair();
  const cca_result result = cca(x, y);
  CHECK(result.correlations[0] == near(1.0, 1e-15));
  CHECK(result.correlations[1] == near(2 * 0.9925240183745345 - 1, 1e-14));
  CHECK(result.mean == near(0.9925240183745345, 1e-15));
  CHECK(result.mean_square == near(0.9851598173515977, 1e-14));
  CHECK(result.chance_floor == 0.5);
  CHECK(result.error_bound < 1e-13);
  CHECK(result.x_rank == 2);
  CHECK(result.y_rank == 2);
  CHECK(result.tokens == 5);
  CHECK_FALSE(result.underdetermined);
  CHECK(mean_cca(x, y) == result.mean);
  cross_moments moments(second_moments::both);
  moments.add(x, y);
  CHECK(mean_cca(moments) == result.mean);
  CHECK(canonical_correlations(moments) == result.correlations);
}

TEST_CASE("QR of the rows and Jacobi rotations, in long double, within the bound: any widths, offsets and scale") {
  std::mt19937_64 random(2);
  for (const index n : {14, 40, 600})
    for (const double offset : {0.0, 1e4})
      for (const double noise : {1e-7, 1e-3, 0.3, 10.0}) {
        const row_major x = random_matrix(random, n, 6).array() + offset;
        const row_major y = x + noise * random_matrix(random, n, 6), narrow = y.leftCols(4);
        CAPTURE(n);
        CAPTURE(offset);
        CAPTURE(noise);
        for (const row_major& of : {y, narrow}) {
          const std::vector<long double> exact = exact_canonical(x, of).correlations;
          for (const double scale : {1.0, 0x1p400, 0x1p-400, 0x1p600, 0x1p-600}) {
            const cca_result result = cca(row_major(x * scale), row_major(of / scale));
            check_within_bound(result, exact);
            CHECK(result.error_bound < 1e-10);
            CHECK_FALSE(result.underdetermined);
          }
        }
      }
}

TEST_CASE("hard data: spectra, outliers, offsets and dependent columns") {
  std::mt19937_64 random(3);
  for (int round = 0; round < 40; ++round) {
    hard_case c;
    c.d_x = random_index(random, 1, 30), c.d_y = random_index(random, 1, 30);
    c.n = random_index(random, c.d_x + c.d_y + 1, 600);
    c.target = pick(random, std::vector{target_kind::map_and_noise, target_kind::weakest, target_kind::independent});
    c.level = pick(random, std::vector{1e-4, 1.0});
    c.condition = pick(random, std::vector{1.0, 1e2, 1e4});
    c.outlier = pick(random, std::vector{1.0, 1e4});
    c.offset = pick(random, std::vector{0.0, 1e3});
    c.duplicates = c.d_x > 3 ? round % 3 : 0, c.dead = round % 2;
    CAPTURE(c);
    const auto [x, y] = make_data(random, c);
    const cca_result result = cca(x, y);
    CHECK(result.error_bound < 1e-2);
    const exact_canonical exact(x, y);
    if (result.x_rank == exact.x_rank && result.y_rank == exact.y_rank) {
      check_within_bound(result, x, y);
    } else {  // fewer only where the data is next to dependent
      CHECK(c.condition * (c.level < 1.0 ? 1e4 : 1.0) > 1e3);
      CHECK(result.x_rank <= exact.x_rank);
      CHECK(result.y_rank <= exact.y_rank);
    }
  }
}

TEST_CASE("what is left out as dependent is reported, and changes nothing") {
  std::mt19937_64 random(4);
  const row_major x = random_matrix(random, 400, 8), y = x.leftCols(5) + random_matrix(random, 400, 5);
  const cca_result plain = cca(x, y);
  row_major repeated(400, 20), dead(400, 6);
  repeated << x, x * random_matrix(random, 8, 10), row_major::Constant(400, 2, 0.1);
  dead << y, row_major::Constant(400, 1, 7.0);
  const cca_result result = cca(repeated, dead);
  CHECK(result.x_rank == 8);
  CHECK(result.y_rank == 5);
  CHECK(result.x_dimensions == 20);
  CHECK((result.correlations - plain.correlations).norm() < 1e-12);
  // A direction that rounding may have made: 1e-9 of the others.
  row_major faint = x;
  faint.col(7) = faint.col(6) + 1e-9 * x.col(7);
  const cca_result of_seven = cca(faint, y);
  CHECK(of_seven.x_rank == 7);
  row_major other = faint.leftCols(7);
  other.col(6) = faint.col(7);
  const auto off = [&](const row_major& kept) {  // of the two that are nearly equal, either
    const std::vector<long double> exact = exact_canonical(kept, y).correlations;
    double most = 0.0;
    for (index k = 0; k < 5; ++k)
      most =
          std::max(most, std::abs(static_cast<double>(of_seven.correlations[k] - exact[static_cast<std::size_t>(k)])));
    return most;
  };
  CHECK(std::min(off(faint.leftCols(7)), off(other)) <= of_seven.error_bound);
}

TEST_CASE("too few tokens: correlations of 1 whatever the data, which the result says") {
  std::mt19937_64 random(5);
  for (const index n : {2, 5, 12, 16, 17, 40}) {
    const row_major x = random_matrix(random, n, 8), y = random_matrix(random, n, 8);
    const cca_result result = cca(x, y);
    CAPTURE(n);
    CHECK(result.x_rank == std::min<index>(8, n - 1));
    CHECK(result.underdetermined == (n < 17));
    CHECK((result.correlations[0] == near(1.0, 1e-7)) == (n < 17));
    CHECK((result.chance_floor == 1.0) == (n < 10));
  }
}

TEST_CASE("independent data has the mean square of the chance floor") {
  std::mt19937_64 random(6);
  double sum = 0.0, floor = 0.0;
  for (int round = 0; round < 50; ++round) {
    const cca_result result = cca(random_matrix(random, 61, 10), random_matrix(random, 61, 6));
    sum += result.mean_square / 50, floor = result.chance_floor;
  }
  CHECK(floor == near(10.0 / 60.0));
  CHECK(sum == near(floor, 0.05));
}

TEST_CASE("equal layers, and one column each") {
  std::mt19937_64 random(7);
  const row_major x = random_matrix(random, 100, 6), y = x * random_invertible(random, 6);
  for (const double rho : canonical_correlations(x, y)) {
    CHECK(rho == near(1.0, 1e-14));
    CHECK(rho <= 1.0);
  }
  row_major a(4, 1), b(4, 1);  // Pearson's correlation, -5 / sqrt(5 * 6)
  a << -1.5, -0.5, 0.5, 1.5;
  b << 1, 1, 0, -2;
  CHECK(mean_cca(a, b) == near(5.0 / std::sqrt(30.0)));
}

TEST_CASE("moments that were merged far apart: what they lost the bound says") {
  std::mt19937_64 random(8);
  row_major x = random_matrix(random, 900, 3), y = x + random_matrix(random, 900, 3);
  x.bottomRows(400).array() += 1e3;
  y.bottomRows(400).array() -= 1e3;
  cross_moments moments(second_moments::both), rest(second_moments::both);
  moments.add(x.topRows(500), y.topRows(500));
  rest.add(x.bottomRows(400), y.bottomRows(400));
  moments.merge(rest);
  const cca_result result = cca(moments);
  CHECK(result.x_rank == 3);
  check_within_bound(result, x, y);
}

TEST_CASE("errors say what was expected") {
  std::mt19937_64 random(9);
  row_major x = random_matrix(random, 20, 3), y = random_matrix(random, 20, 2);
  cross_moments input;
  input.add(x, y);
  check_throws<option_error>([&] { cca(input); }, "moments of both (see second_moments::both)", "moments of the input",
                             "cca");
  cross_moments both(second_moments::both);
  check_throws<degenerate_input_error>([&] { cca(both); }, "at least one token", "none", "X");
  both.add(x, y);
  check_throws<option_error>([&] { cca(both.scatter(centering::none)); }, "moments about the means", "centering::none",
                             "cca");
  check_throws<degenerate_input_error>([&] { cca(x, row_major::Constant(20, 2, 0.1)); }, "rows that differ",
                                       "no variance", "Y");
  check_throws<shape_error>([&] { cca(x, y.topRows(19)); }, "20 rows, as in X", "19 x 2", "Y");
  y(4, 1) = std::numeric_limits<double>::quiet_NaN();
  check_throws<non_finite_error>([&] { cca(x, y); }, "finite values", "nan", "Y, row 4, column 1");
}

}  // namespace
