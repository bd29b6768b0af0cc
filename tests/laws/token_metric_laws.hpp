// What every metric that gives a number for each token of a pair is held to, and what it declares to change under:
//
//   check_token_metric(displacement, {.scale = true});
#pragma once

#include "laws/pair_metric_laws.hpp"

namespace layerwise_test {

/// What the values of a metric of tokens do not change under; what is not named changes them. None changes with an
/// orthogonal map of x and y, or with one factor of both.
struct token_invariances {
  bool scale = false;        ///< a positive factor of x, or of y
  bool exchange = false;     ///< of x and y
  bool shift = false;        ///< a row that is added to all of x and y
  bool zero_before = false;  ///< a row of zeros in x is no error
};

/// metric: callable on (x, y); returns a vector of as many values as rows.
template <class Metric>
void check_token_metric(const Metric& metric, const token_invariances& declared) {
  const auto [x, y] = laws::data(7);
  const Eigen::VectorXd expected = metric(x, y);
  REQUIRE(expected.size() == laws::tokens);
  const auto check = [&](const char* what, bool invariant, const row_major& a, const row_major& b) {
    CAPTURE(what);
    const double off = (metric(a, b) - expected).cwiseAbs().maxCoeff();
    if (invariant)
      CHECK(off < 1e-12);
    else
      CHECK(off > 1e-4);
  };
  std::mt19937_64 random(8);
  const row_major turn = random_orthogonal(random, laws::dims);
  const Eigen::RowVectorXd shift = random_matrix(random, 1, laws::dims);
  check("one orthogonal map of x and y", true, x * turn, y * turn);
  check("an orthogonal map of x", false, x * turn, y);
  check("one factor of x and y", true, x * -3.0, y * -3.0);
  for (const double factor : {3.0, 1e-100, 1e100}) {
    CAPTURE(factor);
    check("a factor of x", declared.scale, x * factor, y);
    check("a factor of y", declared.scale, x, y * factor);
  }
  check("x and y exchanged", declared.exchange, y, x);
  check("a shift", declared.shift, x.rowwise() + shift, y.rowwise() + shift);
  for (const int power : {-900, -500, -100, 100, 500, 900}) {
    CAPTURE(power);
    const row_major a = x * std::ldexp(1.0, power), b = y * std::ldexp(1.0, power);
    check("one power of two of x and y", true, a, b);
    if (std::abs(power) == 100) check_identical(metric(a, b), expected);  // rows beyond it are scaled before
  }

  in_every_form(x, y, [&](const auto& a, const auto& b) { check_identical(metric(a, b), expected); });
  for (const int threads : {1, 2}) check_identical(with_threads(threads, [&] { return metric(x, y); }), expected);
  // A token's value is its own.
  check_identical(metric(x.middleRows(500, 100), y.middleRows(500, 100)), expected.segment(500, 100));

  for (const double bad : {laws::nan, HUGE_VAL, -HUGE_VAL})
    for (const Eigen::Index row : {Eigen::Index{0}, Eigen::Index{512}, laws::tokens - 1}) {
      row_major wrong = x;
      wrong(row, 2) = bad;
      const std::string place = ", row " + std::to_string(row) + ", column 2)";
      check_refused<layerwise::non_finite_error>([&, &y = y] { (void)metric(wrong, y); }, place);
      check_refused<layerwise::non_finite_error>([&, &y = y] { (void)metric(y, wrong); }, place);
    }
  row_major with_zero = x;
  with_zero.row(9).setZero();
  if (declared.zero_before)
    CHECK(std::isfinite(metric(with_zero, y)[9]));
  else
    check_refused<layerwise::degenerate_input_error>([&, &y = y] { (void)metric(with_zero, y); }, "row 9");
  check_refused<layerwise::degenerate_input_error>([&, &y = y] { (void)metric(y, with_zero); }, "after, row 9");

  const row_major shorter = y.topRows(laws::tokens - 1), narrow = y.leftCols(2), none(0, laws::dims);
  check_refused<layerwise::shape_error>([&, &x = x] { (void)metric(x, shorter); });
  check_refused<layerwise::shape_error>([&, &x = x] { (void)metric(x, narrow); });
  check_refused<layerwise::degenerate_input_error>([&] { (void)metric(none, none); }, "0 x 6");
}

}  // namespace layerwise_test
