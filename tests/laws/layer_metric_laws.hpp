// What every metric of one layer is held to, and what it declares to change under. A metric joins with a line:
//
//   TEST_CASE("anisotropy: what changes it and what does not") {
//     check_layer_metric(anisotropy, {.rotation = true, .scale = true, .shift = true});
//     check_layer_accumulator(anisotropy, [] { return layer_moments(); });
//   }
//
// with `anisotropy` callable on x, on (x, mask), and on what accumulates rows if there is such a thing; it returns a
// number, or a result with fields, the first of which is the number.
#pragma once

#include "laws/pair_metric_laws.hpp"

namespace layerwise_test {

/// What the value of a metric of a layer does not change under; what is not named changes it.
struct layer_invariances {
  bool rotation = false;     ///< an orthogonal map
  bool scale = false;        ///< a factor; to the last bit, of all numbers of a result, if it is a power of two
  bool shift = false;        ///< a row that is added to all
  bool row_lengths = false;  ///< a positive factor for each row
};

namespace laws {

template <class Metric>
void layer_changes(const Metric& metric, const layer_invariances& declared) {
  std::mt19937_64 random(11);
  const row_major x = data(12).x;
  const double expected = value_of(metric(x));
  const auto check = [&](const char* what, bool invariant, const row_major& a) {
    CAPTURE(what);
    const double off = std::abs(value_of(metric(a)) - expected) / std::abs(expected);
    if (invariant)
      CHECK(off < 1e-11);
    else
      CHECK(off > 1e-4);
  };
  check("an orthogonal map", declared.rotation, x * random_orthogonal(random, dims));
  check("an invertible map", false, x * random_invertible(random, dims));
  const Eigen::RowVectorXd shift = random_matrix(random, 1, dims);
  check("a shift", declared.shift, x.rowwise() + shift);
  for (const double factor : {-3.0, 1e-100, 1e100}) check("a factor", declared.scale, x * factor);
  const Eigen::VectorXd lengths =
      Eigen::VectorXd::NullaryExpr(tokens, [&] { return std::uniform_real_distribution<double>(0.1, 4.0)(random); });
  check("a factor for each row", declared.row_lengths, lengths.asDiagonal() * x);
  std::vector<Eigen::Index> order(tokens);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), random);
  check("another order of the tokens", true, rows_of(x, order));
  if (!declared.scale) return;
  for (const int power : {-900, -500, 500, 900}) {
    CAPTURE(power);
    check_identical(metric(x * std::ldexp(1.0, power)), metric(x));
  }
}

template <class Metric>
void layer_forms_threads_and_masks(const Metric& metric) {
  const row_major x = data(13).x;
  const auto expected = metric(x);
  in_every_form(x, x, [&](const auto& a, const auto& b) {
    check_identical(metric(a), expected);
    check_identical(metric(b), expected);
  });
  for (const int threads : {1, 2}) check_identical(with_threads(threads, [&] { return metric(x); }), expected);

  std::vector<bool> keep;
  std::vector<Eigen::Index> kept;
  row_major marked = x;
  for (Eigen::Index i = 0; i < tokens; ++i) {
    keep.push_back(i % 3 != 1);
    if (keep.back())
      kept.push_back(i);
    else
      marked.row(i).setConstant(i % 2 == 0 ? nan : HUGE_VAL);  // what is left out may be anything
  }
  check_identical(metric(marked, layerwise::token_mask(keep)), metric(rows_of(x, kept)));
}

template <class Metric>
void layer_refusals(const Metric& metric) {
  using layerwise::degenerate_input_error;
  const row_major x = data(14).x;
  for (const double bad : {nan, HUGE_VAL, -HUGE_VAL})
    for (const Eigen::Index row : {Eigen::Index{0}, Eigen::Index{512}, tokens - 1}) {
      row_major wrong = x;
      wrong(row, 2) = bad;
      const std::string place = "row " + std::to_string(row) + ", column 2)";
      check_refused<layerwise::non_finite_error>([&] { (void)metric(wrong); }, place);
    }
  const row_major none(0, dims), no_columns(tokens, 0);
  check_refused<degenerate_input_error>([&] { (void)metric(none); }, "0 x 6");
  check_refused<degenerate_input_error>([&] { (void)metric(no_columns); }, "x 0");
  const layerwise::token_mask short_mask(std::vector<bool>(tokens - 1, true)),
      nothing(std::vector<bool>(tokens, false));
  check_refused<layerwise::shape_error>([&] { (void)metric(x, short_mask); }, "token_mask");
  check_refused<degenerate_input_error>([&] { (void)metric(x, nothing); }, "none");
}

}  // namespace laws

/// The laws of matrices and masks.
template <class Metric>
void check_layer_metric(const Metric& metric, const layer_invariances& declared) {
  laws::layer_changes(metric, declared);
  laws::layer_forms_threads_and_masks(metric);
  laws::layer_refusals(metric);
}

/// Those of batches and merges. make_moments: what makes the accumulator that the metric is called on.
template <class Metric, class Factory>
void check_layer_accumulator(const Metric& metric, const Factory& make_moments) {
  const row_major x = laws::data(15).x;
  const auto expected = metric(x);
  std::mt19937_64 random(16);
  for (const Eigen::Index longest : {Eigen::Index{1}, Eigen::Index{100}, laws::tokens}) {
    CAPTURE(longest);
    auto moments = make_moments();
    Eigen::Index first = 0;
    for (const Eigen::Index length : random_split(random, laws::tokens, longest))
      moments.add(x.middleRows(first, length)), first += length;
    check_identical(metric(moments), expected);
  }
  auto all = make_moments();
  for (Eigen::Index first = 0; first < laws::tokens; first += 275) {
    auto part = make_moments();
    part.add(x.middleRows(first, 275));
    all.merge(part);
  }
  CHECK(std::abs(value_of(metric(all)) - value_of(expected)) < 1e-12 * std::abs(value_of(expected)));
  check_refused<layerwise::degenerate_input_error>([&] { (void)metric(make_moments()); }, "none");
}

}  // namespace layerwise_test
