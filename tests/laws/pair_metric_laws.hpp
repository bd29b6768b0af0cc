// What every metric of a pair of matrices is held to, and what it declares to change under. A metric joins with a line:
//
//   TEST_CASE("CKA: what changes it and what does not") {
//     check_pair_metric(cka, {.rotation_x = true, .rotation_y = true, .scale = true, .shift = true},
//                       [] { return cross_moments(second_moments::both); });
//   }
//
// with `cka` callable on (x, y), (x, y, mask) and on accumulated moments; it returns a number, or a result with fields,
// the first of which is the number.
#pragma once

#include "hard_data.hpp"
#include "identical.hpp"
#include "support.hpp"

#include <layerwise/core/fields.hpp>
#include <layerwise/data/strided_view.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/statistics/cross_moments.hpp>

#include <Eigen/Core>

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace layerwise_test {

/// What the value of a metric of pairs does not change under; what is not named changes it.
struct pair_invariances {
  bool rotation_x = false;     ///< an orthogonal map of x
  bool rotation_y = false;     ///< one of y
  bool scale = false;          ///< a factor of x, or of y
  bool shift = false;          ///< a row that is added to all of x, or of y
  bool linear_x = false;       ///< an invertible linear map of x
  bool same_rotation = true;   ///< one orthogonal map of x and y
  bool same_scale = true;      ///< one factor of x and y, to the last bit if it is a power of two
  bool any_dimensions = true;  ///< x and y may have different numbers of columns
};

/// Calls check(x, y) with the pair in other scalar types, layouts and expressions; its values are bfloat16's.
template <class Check>
void in_every_form(const row_major& x, const row_major& y, const Check& check) {
  const auto n = x.rows(), d = x.cols();
  const Eigen::MatrixXd columns = y;
  const Eigen::MatrixXf x_float = x.cast<float>();
  const Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> brief =
      y.cast<Eigen::bfloat16>();
  row_major slices(n, 2 * d);  // [token][layer][dim]
  slices << x, y;
  check(x, columns);
  check(x_float, brief);
  check(slices.leftCols(d), layerwise::strided_view<const double>(slices.data() + d, n, d, 2 * d, 1));
  check(x_float.cast<double>(), (2.0 * y) * 0.5);  // computed as it is read
}

/// The numbers of a result, in order; empty ones where it has none.
using numbers = std::vector<std::optional<double>>;

inline numbers numbers_of(double value) { return {value}; }
inline numbers numbers_of(const Eigen::VectorXd& values) { return numbers(values.begin(), values.end()); }

template <layerwise::has_fields Result>
numbers numbers_of(const Result& result) {
  numbers out;
  layerwise::visit_values(&result, [&](const std::string&, const auto* value, std::string_view) {
    out.push_back(value == nullptr ? std::nullopt : std::optional(static_cast<double>(*value)));
  });
  return out;
}

/// What stands for a result.
inline double first_of(const numbers& values) { return values.front().value(); }

/// Equal, or empty in both.
void check_identical(const numbers& a, const numbers& b);

namespace laws {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr Eigen::Index tokens = 1100, dims = 6;  // more rows than two blocks

/// In every layer the values are bfloat16's.
data_pair data(std::uint64_t seed);

/// Rows to leave out, and those that stay.
struct partial_rows {
  std::vector<bool> keep;
  std::vector<Eigen::Index> kept;

  partial_rows();
};

/// A metric of pairs without its type: the laws of matrices of double are compiled once.
struct pair_metric {
  std::function<numbers(const row_major&, const row_major&, const layerwise::token_mask&)> of_rows;
  std::function<numbers(const layerwise::cross_moments&)> of_moments;
  std::function<layerwise::cross_moments()> make_moments;

  numbers operator()(const row_major& x, const row_major& y, const layerwise::token_mask& mask = {}) const {
    return of_rows(x, y, mask);
  }
};

/// metric: callable on (x, y, mask), and on moments if make_moments makes some.
template <class Metric>
pair_metric untyped(const Metric& metric, std::function<layerwise::cross_moments()> make_moments = {}) {
  pair_metric out;
  out.of_rows = [metric](const row_major& x, const row_major& y, const layerwise::token_mask& mask) {
    return numbers_of(metric(x, y, mask));
  };
  if constexpr (requires(const layerwise::cross_moments& moments) { metric(moments); })
    out.of_moments = [metric](const layerwise::cross_moments& moments) { return numbers_of(metric(moments)); };
  out.make_moments = std::move(make_moments);
  return out;
}

void changes(const pair_metric& metric, const pair_invariances& declared);
void threads_and_masks(const pair_metric& metric);
void batches_and_merges(const pair_metric& metric);
void refusals(const pair_metric& metric, const pair_invariances& declared);

template <class Metric>
void forms_threads_and_masks(const Metric& metric) {
  const pair_metric any = untyped(metric);
  threads_and_masks(any);
  const auto [x, y] = data(3);
  const numbers expected = any(x, y);
  in_every_form(x, y, [&](const auto& a, const auto& b) { check_identical(numbers_of(metric(a, b)), expected); });
}

}  // namespace laws

/// All of the laws. make_moments: what makes the accumulator that the metric is called on.
template <class Metric, class Factory>
void check_pair_metric(const Metric& metric, const pair_invariances& declared, const Factory& make_moments) {
  const laws::pair_metric any = laws::untyped(metric, make_moments);
  laws::changes(any, declared);
  laws::forms_threads_and_masks(metric);
  laws::batches_and_merges(any);
  laws::refusals(any, declared);
}
template <class Metric>
void check_pair_metric(const Metric& metric, const pair_invariances& declared) {
  check_pair_metric(metric, declared, [] { return layerwise::cross_moments(); });
}

}  // namespace layerwise_test
