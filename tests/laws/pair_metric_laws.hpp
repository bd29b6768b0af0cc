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

#include <layerwise/core/error.hpp>
#include <layerwise/data/strided_view.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/statistics/cross_moments.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <typeinfo>
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

/// A call that throws an Error, and none derived from it, whose text has `part` in it.
template <class Error, class Call>
void check_refused(const Call& call, const std::string& part = "") {
  try {
    call();
    FAIL_CHECK("nothing was thrown");
  } catch (const Error& e) {
    const std::string text = e.what();
    CAPTURE(text);
    CHECK(typeid(e) == typeid(Error));
    CHECK(text.find(part) != std::string::npos);
  } catch (const std::exception& e) {
    FAIL_CHECK("another exception was thrown: ", std::string(e.what()));
  }
}

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

template <class Result>
double value_of(const Result& result) {
  if constexpr (layerwise::has_fields<Result>) {
    std::optional<double> first;
    layerwise::for_each_field<Result>([&](const auto& f) {
      if (!first) first = static_cast<double>(result.*f.member);
    });
    return *first;
  } else {
    return result;
  }
}

namespace laws {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr Eigen::Index tokens = 1100, dims = 6;  // more rows than two blocks

inline data_pair data(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  data_pair pair = make_data(random, {.n = tokens, .d_x = dims, .d_y = dims, .condition = 3.0, .offset = 0.5});
  for (row_major* m : {&pair.x, &pair.y}) *m = m->cast<Eigen::bfloat16>().cast<double>().eval();
  return pair;
}

template <class Metric>
void changes(const Metric& metric, const pair_invariances& declared) {
  std::mt19937_64 random(1);
  const auto [x, y] = data(2);
  const double expected = value_of(metric(x, y));
  const auto check = [&](const char* what, bool invariant, const row_major& a, const row_major& b) {
    CAPTURE(what);
    const double off = std::abs(value_of(metric(a, b)) - expected);
    if (invariant)
      CHECK(off < 1e-11);
    else
      CHECK(off > 1e-4);
  };
  const row_major turn = random_orthogonal(random, dims), other = random_orthogonal(random, dims);
  const Eigen::RowVectorXd shift = random_matrix(random, 1, dims);
  check("an orthogonal map of x", declared.rotation_x, x * turn, y);
  check("an orthogonal map of y", declared.rotation_y, x, y * other);
  check("one orthogonal map of x and y", declared.same_rotation, x * turn, y * turn);
  check("an invertible map of x", declared.linear_x, x * random_invertible(random, dims), y);
  for (const double factor : {-3.0, 1e-100, 1e100}) {
    CAPTURE(factor);
    check("a factor of x", declared.scale, x * factor, y);
    check("a factor of y", declared.scale, x, y * factor);
    check("one factor of x and y", declared.same_scale, x * factor, y * factor);
  }
  check("a shift of x", declared.shift, x.rowwise() + shift, y);
  check("a shift of y", declared.shift, x, y.rowwise() + shift);

  std::vector<Eigen::Index> order(tokens);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), random);
  check("another order of the tokens", true, rows_of(x, order), rows_of(y, order));
  check("another order of the tokens of x", false, rows_of(x, order), y);
  if (!declared.same_scale) return;
  for (const int power : {-900, -500, 500, 900}) {
    CAPTURE(power);
    check_identical(metric(x * std::ldexp(1.0, power), y * std::ldexp(1.0, power)), metric(x, y));
  }
}

template <class Metric>
void forms_threads_and_masks(const Metric& metric) {
  const auto [x, y] = data(3);
  const auto expected = metric(x, y);
  in_every_form(x, y, [&](const auto& a, const auto& b) { check_identical(metric(a, b), expected); });
  for (const int threads : {1, 2}) check_identical(with_threads(threads, [&] { return metric(x, y); }), expected);

  std::vector<bool> keep;
  std::vector<Eigen::Index> kept;
  row_major x_marked = x, y_marked = y;
  for (Eigen::Index i = 0; i < tokens; ++i) {
    keep.push_back(i % 3 != 1);
    if (keep.back())
      kept.push_back(i);
    else
      x_marked.row(i).setConstant(nan), y_marked(i, 2) = HUGE_VAL;  // what is left out may be anything
  }
  check_identical(metric(x_marked, y_marked, layerwise::token_mask(keep)), metric(rows_of(x, kept), rows_of(y, kept)));
}

template <class Metric, class Factory>
void batches_and_merges(const Metric& metric, const Factory& make_moments) {
  const auto [x, y] = data(4);
  const auto expected = metric(x, y);
  const auto add = [&x = x, &y = y](auto& moments, Eigen::Index first, Eigen::Index count) {
    moments.add(x.middleRows(first, count), y.middleRows(first, count));
  };
  std::mt19937_64 random(5);
  for (const Eigen::Index longest : {Eigen::Index{1}, Eigen::Index{100}, tokens}) {
    CAPTURE(longest);
    auto moments = make_moments();
    Eigen::Index first = 0;
    for (const Eigen::Index length : random_split(random, tokens, longest))
      add(moments, first, length), first += length;
    check_identical(metric(moments), expected);
  }
  auto all = make_moments();
  for (Eigen::Index first = 0; first < tokens; first += 275) {
    auto part = make_moments();
    add(part, first, 275);
    all.merge(part);
  }
  CHECK(std::abs(value_of(metric(all)) - value_of(expected)) < 1e-12);
}

template <class Metric, class Factory>
void refusals(const Metric& metric, const pair_invariances& declared, const Factory& make_moments) {
  using layerwise::degenerate_input_error;
  using layerwise::shape_error;
  const auto [x, y] = data(6);
  for (const double bad : {nan, HUGE_VAL, -HUGE_VAL})
    for (const Eigen::Index row : {Eigen::Index{0}, Eigen::Index{512}, tokens - 1}) {
      row_major wrong = x;
      wrong(row, 2) = bad;
      const std::string place = ", row " + std::to_string(row) + ", column 2)";
      check_refused<layerwise::non_finite_error>([&, &y = y] { (void)metric(wrong, y); }, place);
      check_refused<layerwise::non_finite_error>([&, &y = y] { (void)metric(y, wrong); }, place);
    }

  const row_major shorter = y.topRows(tokens - 1), narrow = y.leftCols(2), none(0, dims), no_columns(tokens, 0),
                  constant = row_major::Constant(tokens, dims, 0.1);
  check_refused<shape_error>([&, &x = x] { (void)metric(x, shorter); });
  if (declared.any_dimensions)
    CHECK(std::isfinite(value_of(metric(x, narrow))));
  else
    check_refused<shape_error>([&, &x = x] { (void)metric(x, narrow); });
  check_refused<degenerate_input_error>([&] { (void)metric(none, none); }, "0 x 6");
  check_refused<degenerate_input_error>([&] { (void)metric(no_columns, no_columns); }, "x 0");
  check_refused<degenerate_input_error>([&, &x = x, &y = y] { (void)metric(x.topRows(1), y.topRows(1)); });
  check_refused<degenerate_input_error>([&, &y = y] { (void)metric(constant, y); }, "no variance");
  check_refused<degenerate_input_error>([&] { (void)metric(make_moments()); }, "none");

  const layerwise::token_mask short_mask(std::vector<bool>(tokens - 1, true)),
      nothing(std::vector<bool>(tokens, false));
  check_refused<shape_error>([&, &x = x, &y = y] { (void)metric(x, y, short_mask); }, "token_mask");
  check_refused<degenerate_input_error>([&, &x = x, &y = y] { (void)metric(x, y, nothing); }, "none");
}

}  // namespace laws

/// All of the laws. make_moments: what makes the accumulator that the metric is called on.
template <class Metric, class Factory>
void check_pair_metric(const Metric& metric, const pair_invariances& declared, const Factory& make_moments) {
  laws::changes(metric, declared);
  laws::forms_threads_and_masks(metric);
  laws::batches_and_merges(metric, make_moments);
  laws::refusals(metric, declared, make_moments);
}
template <class Metric>
void check_pair_metric(const Metric& metric, const pair_invariances& declared) {
  check_pair_metric(metric, declared, [] { return layerwise::cross_moments(); });
}

}  // namespace layerwise_test
