#include <layerwise/metrics/detail/near_rows.hpp>

#include "support.hpp"

#include <layerwise/metrics/detail/nearest_two.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <vector>

namespace {

using layerwise::index;
using layerwise::detail::is_less;
using layerwise::detail::near_rows;
using layerwise::detail::row_block;
using layerwise::detail::rows_together;
using layerwise::detail::squared_distance;
using namespace layerwise_test;

/// Every one of the k nearest rows by distances, those as near as the last one too, is told; in order, and none twice.
/// Returns how many are told, a row.
double check_told(const row_block& rows, index k) {
  const index n = rows.rows(), d = rows.cols();
  const near_rows near_by(rows, k);
  std::vector<std::vector<index>> told(static_cast<std::size_t>(n));
  for (index first = 0; first < n; first += rows_together)
    near_by.each(first, std::min(rows_together, n - first),
                 [&](index i, index j) { told[static_cast<std::size_t>(i)].push_back(j); });
  std::size_t count = 0;
  index missed = 0, disorder = 0;
  for (index i = 0; i < n; ++i) {
    const std::vector<index>& of = told[static_cast<std::size_t>(i)];
    count += of.size();
    for (std::size_t m = 1; m < of.size(); ++m) disorder += of[m - 1] >= of[m];
    const auto distance = [&](index j) { return squared_distance(rows.data() + i * d, rows.data() + j * d, d); };
    std::vector<index> order;
    for (index j = 0; j < n; ++j)
      if (j != i) order.push_back(j);
    std::nth_element(order.begin(), order.begin() + (k - 1), order.end(),
                     [&](index a, index b) { return is_less(distance(a), distance(b)); });
    const auto last = distance(order[static_cast<std::size_t>(k - 1)]);
    for (const index j : order) missed += !is_less(last, distance(j)) && !std::binary_search(of.begin(), of.end(), j);
  }
  CHECK(missed == 0);
  CHECK(disorder == 0);
  return static_cast<double>(count) / static_cast<double>(n);
}

TEST_CASE("few rows are told, and every near one: more than one block of them, and widths") {
  std::mt19937_64 random(1);
  CHECK(check_told(random_matrix(random, 900, 30), 5) < 20.0);
  CHECK(check_told(random_matrix(random, 97, 1), 1) < 8.0);
  CHECK(check_told(random_matrix(random, 3, 40), 2) == 2.0);
}

TEST_CASE("where products cannot tell: offsets, one direction, equal rows, magnitudes") {
  std::mt19937_64 random(2);
  const row_block plain = random_matrix(random, 300, 6);
  CHECK(check_told(plain.array() + 1e3, 4) < 20.0);
  CHECK(check_told(plain.array() + 1e9, 4) > 200.0);  // all: distances are below the rounding of the squares
  for (const int power : {-1000, -530, -480, 500, 520, 1000}) {
    CAPTURE(power);
    check_told(plain * std::ldexp(1.0, power), 3);
  }
  row_block mixed = plain;
  for (index i = 0; i < 300; ++i) mixed.row(i) *= std::ldexp(1.0, static_cast<int>(i % 7) * 170 - 510);
  check_told(mixed, 3);
  mixed = plain;
  mixed.bottomRows(200) = mixed.topRows(100).replicate(2, 1);
  check_told(mixed, 3);
  CHECK(check_told(row_block::Constant(50, 3, 0.1), 2) == 49.0);
}

}  // namespace
