#include "laws/pair_metric_laws.hpp"

#include "hard_data.hpp"
#include "identical.hpp"
#include "support.hpp"

#include <layerwise/core/error.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/statistics/cross_moments.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace layerwise_test {

void check_identical(const numbers& a, const numbers& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    CAPTURE(i);
    REQUIRE(a[i].has_value() == b[i].has_value());
    if (a[i]) CHECK(*a[i] == *b[i]);
  }
}

namespace laws {

partial_rows::partial_rows() {
  for (Eigen::Index i = 0; i < tokens; ++i) {
    keep.push_back(i % 3 != 1);
    if (keep.back()) kept.push_back(i);
  }
}

data_pair data(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  data_pair pair = make_data(random, {.n = tokens, .d_x = dims, .d_y = dims, .condition = 3.0, .offset = 0.5});
  for (row_major* m : {&pair.x, &pair.y}) *m = m->cast<Eigen::bfloat16>().cast<double>().eval();
  return pair;
}

void changes(const pair_metric& metric, const pair_invariances& declared) {
  std::mt19937_64 random(1);
  const auto [x, y] = data(2);
  const double expected = first_of(metric(x, y));
  const auto check = [&](const char* what, bool invariant, const row_major& a, const row_major& b) {
    CAPTURE(what);
    const double off = std::abs(first_of(metric(a, b)) - expected);
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

void threads_and_masks(const pair_metric& metric) {
  const auto [x, y] = data(3);
  for (const int threads : {1, 2})
    check_identical(with_threads(threads, [&, &x = x, &y = y] { return metric(x, y); }), metric(x, y));

  const partial_rows rows;
  row_major x_marked = x, y_marked = y;
  for (Eigen::Index i = 0; i < tokens; ++i)
    if (!rows.keep[static_cast<std::size_t>(i)])
      x_marked.row(i).setConstant(nan), y_marked(i, 2) = HUGE_VAL;  // what is left out may be anything
  check_identical(metric(x_marked, y_marked, layerwise::token_mask(rows.keep)),
                  metric(rows_of(x, rows.kept), rows_of(y, rows.kept)));
}

void batches_and_merges(const pair_metric& metric) {
  const auto [x, y] = data(4);
  const numbers expected = metric(x, y);
  const auto add = [&x = x, &y = y](layerwise::cross_moments& moments, Eigen::Index first, Eigen::Index count) {
    moments.add(x.middleRows(first, count), y.middleRows(first, count));
  };
  std::mt19937_64 random(5);
  for (const Eigen::Index longest : {Eigen::Index{1}, Eigen::Index{100}, tokens}) {
    CAPTURE(longest);
    auto moments = metric.make_moments();
    Eigen::Index first = 0;
    for (const Eigen::Index length : random_split(random, tokens, longest))
      add(moments, first, length), first += length;
    check_identical(metric.of_moments(moments), expected);
  }
  auto all = metric.make_moments();
  for (Eigen::Index first = 0; first < tokens; first += 275) {
    auto part = metric.make_moments();
    add(part, first, 275);
    all.merge(part);
  }
  CHECK(std::abs(first_of(metric.of_moments(all)) - first_of(expected)) < 1e-12);
}

void refusals(const pair_metric& metric, const pair_invariances& declared) {
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
    CHECK(std::isfinite(first_of(metric(x, narrow))));
  else
    check_refused<shape_error>([&, &x = x] { (void)metric(x, narrow); });
  check_refused<degenerate_input_error>([&] { (void)metric(none, none); }, "0 x 6");
  check_refused<degenerate_input_error>([&] { (void)metric(no_columns, no_columns); }, "x 0");
  check_refused<degenerate_input_error>([&, &x = x, &y = y] { (void)metric(x.topRows(1), y.topRows(1)); });
  check_refused<degenerate_input_error>([&, &y = y] { (void)metric(constant, y); }, "no variance");
  check_refused<degenerate_input_error>([&] { (void)metric.of_moments(metric.make_moments()); }, "none");

  const layerwise::token_mask short_mask(std::vector<bool>(tokens - 1, true)),
      nothing(std::vector<bool>(tokens, false));
  check_refused<shape_error>([&, &x = x, &y = y] { (void)metric(x, y, short_mask); }, "token_mask");
  check_refused<degenerate_input_error>([&, &x = x, &y = y] { (void)metric(x, y, nothing); }, "none");
}

}  // namespace laws
}  // namespace layerwise_test
