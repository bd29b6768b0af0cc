// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/lanes.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/row_sums.hpp>
#include <layerwise/kernel/scaled_sum.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/metrics/detail/near_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

// Points, each once, and how far their two nearest ones are. Templates, because a unit that does not call them is not
// to pay for sorting.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// `count` of 0 ... n - 1, ascending: one of each of as many equal parts, the place within which is another one each
/// time (by the golden section), so that no period of the tokens is met.
inline std::vector<index> spread_out(index n, index count) {
  std::vector<index> chosen(static_cast<std::size_t>(count));
  for (index i = 0; i < count; ++i) {
    const index first = n / count * i + n % count * i / count, next = n / count * (i + 1) + n % count * (i + 1) / count;
    const auto fraction = static_cast<index>(static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15u >> 40);
    at(chosen, i) = first + (next - first) * fraction / (index{1} << 24);
  }
  return chosen;
}

/// Rows i of a layer in memory, each that differs once, in order, in a scale that makes small ones safe. Throws
/// non_finite_error.
template <class Source>
row_block read_points(const Source& x, const std::vector<index>& chosen, index d) {
  row_block rows(static_cast<index>(chosen.size()), d);
  const index n = rows.rows();
  const auto row = [&](index i) { return rows.data() + i * d; };
  double peak = 0.0;
  for (index i = 0; i < n; ++i) {
    x.read(0, at(chosen, i), row(i));
    const double of_row = peak_of(row(i), d);
    if (std::isnan(of_row)) fail_non_finite(row(i), d, x.place_of(0, at(chosen, i)));
    peak = (std::max)(peak, of_row);
  }
  const double scale = safe_scale(peak);
  if (scale > 1.0)  // exact; large ones stay, as small ones beside them would be lost
    for (index k = 0; k < n * d; ++k) rows.data()[k] *= scale;

  std::vector<index> order(chosen.size());
  for (index i = 0; i < n; ++i) at(order, i) = i;
  std::sort(order.begin(), order.end(), [&](index a, index b) {
    for (index j = 0; j < d; ++j)
      if (row(a)[j] != row(b)[j]) return row(a)[j] < row(b)[j];
    return a < b;
  });
  std::vector<index> distinct;
  for (index i = 0; i < n; ++i)
    if (i == 0 || !std::equal(row(at(order, i)), row(at(order, i)) + d, row(at(order, i - 1))))
      distinct.push_back(at(order, i));
  if (distinct.size() == chosen.size()) return rows;
  std::sort(distinct.begin(), distinct.end());
  row_block out(static_cast<index>(distinct.size()), d);
  for (index i = 0; i < out.rows(); ++i) std::copy_n(row(at(distinct, i)), d, out.data() + i * d);
  return out;
}

inline bool is_less(const scaled_sum& a, const scaled_sum& b) {
  if (a.mantissa == 0.0 || b.mantissa == 0.0 || a.exponent == b.exponent) return a.mantissa < b.mantissa;
  return a.mantissa < std::scalbn(b.mantissa, b.exponent - a.exponent);
}

/// The squared distances of the nearest and of the second nearest point.
struct nearest_two {
  scaled_sum first{HUGE_VAL, 0}, second{HUGE_VAL, 0};

  void add(const scaled_sum& distance) {
    if (is_less(distance, first))
      second = first, first = distance;
    else if (is_less(distance, second))
      second = distance;
  }

  /// ln(r2 / r1)
  double log_ratio() const {
    const double powers = static_cast<double>(second.exponent - first.exponent);
    return 0.5 * (std::log(second.mantissa / first.mantissa) + powers * std::numbers::ln2);
  }
};

/// ||x - y||^2, where no square leaves the range of double.
template <class T>
double plain_squared_distance(const T* x, const T* y, index d) {
  return lane_sum(d, [](const auto& a, const auto& b) { return square(a - b); }, x, y);
}

/// ||x - y||^2 of finite rows.
template <class T>
scaled_sum squared_distance(const T* x, const T* y, index d) {
  const double step = plain_squared_distance(x, y, d);
  return in_safe_range(step) ? scaled_sum{step, 0} : scaled_squared_distance(x, y, {.step = step}, d, {}, {});
}

/// ln(r2 / r1) of every row, ascending.
template <class Rows>
std::vector<double> log_distance_ratios(const Rows& rows) {
  const index n = rows.rows(), d = rows.cols();
  std::vector<double> ratios(static_cast<std::size_t>(n));
  const near_rows candidates(rows, 2);
  parallel_chunks(n, rows_together, [&](index first, index count) {
    std::vector<nearest_two> nearest(static_cast<std::size_t>(count));
    candidates.each(first, count, [&](index i, index j) {
      at(nearest, i - first).add(squared_distance(rows.data() + i * d, rows.data() + j * d, d));
    });
    for (index i = first; i < first + count; ++i) at(ratios, i) = at(nearest, i - first).log_ratio();
  });
  std::sort(ratios.begin(), ratios.end());
  return ratios;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
