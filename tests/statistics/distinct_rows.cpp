#include <layerwise/statistics/detail/distinct_rows.hpp>

#include "support.hpp"

#include <layerwise/metrics/linearity.hpp>
#include <layerwise/profile.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace {

using layerwise::index;
using layerwise::detail::distinct_rows;
using namespace layerwise_test;

constexpr index many = std::numeric_limits<index>::max();

distinct_rows counted(const row_major& rows, index limit) {
  distinct_rows out(limit);
  out.add(rows);
  return out;
}

TEST_CASE("rows that differ in one bit of one element are different") {
  row_major rows = row_major::Constant(70, 3, 1.5);
  CHECK(counted(rows, 80).count() == 1);
  for (index i = 0; i < 64; ++i) rows(i + 1, i % 3) += std::ldexp(1.0, static_cast<int>(i) - 51);
  CHECK(counted(rows, 80).count() == 65);
  CHECK(counted(rows.rowwise().reverse(), 80).count() == 65);
}

TEST_CASE("minus zero is zero; the order of elements matters") {
  row_major rows(4, 2);
  rows << 0.0, 1.0, -0.0, 1.0, 1.0, 0.0, 1.0, -0.0;
  CHECK(counted(rows, 10).count() == 2);
}

TEST_CASE("beyond the limit there are many, also after a merge") {
  std::mt19937_64 random(1);
  const row_major rows = random_matrix(random, 20, 4);
  CHECK(counted(rows, 20).count() == 20);
  CHECK(counted(rows, 19).count() == many);
  distinct_rows a = counted(rows.topRows(12), 15), b = counted(rows.middleRows(6, 9), 15);
  a.merge(b);
  CHECK(a.count() == 15);
  a.merge(counted(rows, 15));
  CHECK(a.count() == many);
  b.merge(a);
  CHECK(b.count() == many);
}

TEST_CASE("moments of repeated rows know that nothing is hidden: as good as the data, however they came") {
  std::mt19937_64 random(2);
  const index n = 900, d = 48, different = 31;
  const row_major table = random_matrix(random, different, d);
  row_major x(n, d);
  for (index i = 0; i < n; ++i) x.row(i) = table.row(static_cast<index>(random() % different));
  const row_major y = x + 0.3 * random_matrix(random, n, d);
  layerwise::cross_moments moments, first, second;
  moments.add(x, y);
  first.add(x.topRows(700), y.topRows(700));
  second.add(x.bottomRows(200), y.bottomRows(200));
  second.merge(first);
  for (const layerwise::cross_moments* each : {&moments, &second}) {
    for (const bool residual : {false, true}) {
      const auto by_moments = residual ? layerwise::residual_linearity(*each) : layerwise::linearity(*each);
      const auto by_data = residual ? layerwise::residual_linearity(x, y) : layerwise::linearity(x, y);
      CHECK(by_moments.rank == different - 1);
      CHECK(by_data.rank == different - 1);
      CHECK(by_moments.error_bound < 1e-8);
      CHECK(std::abs(by_moments.score - by_data.score) <= by_moments.error_bound + by_data.error_bound);
    }
  }
  layerwise::layer_profiler profiler;
  profiler.add(std::vector<row_major>{x, y});
  CHECK(profiler.profile().layers[0].linearity.value().error_bound < 1e-8);
  // One more row, and a direction may be hidden: then the bound says so.
  row_major more = x;
  more.row(0) += 1e-9 * random_matrix(random, 1, d);
  layerwise::cross_moments hidden;
  hidden.add(more, y);
  CHECK(layerwise::linearity(hidden).error_bound > 1e-3);
}

}  // namespace
