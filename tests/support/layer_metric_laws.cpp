#include "laws/layer_metric_laws.hpp"

#include "hard_data.hpp"
#include "identical.hpp"
#include "support.hpp"

#include <layerwise/core/error.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/statistics/layer_moments.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace layerwise_test::laws {
void layer_changes(const layer_metric& metric, const layer_invariances& declared) {
  std::mt19937_64 random(11);
  const row_major x = data(12).x;
  const double expected = first_of(metric(x, {}));
  const auto check = [&](const char* what, bool invariant, const row_major& a) {
    CAPTURE(what);
    const double off = std::abs(first_of(metric(a, {})) - expected) / std::abs(expected);
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
    check_identical(metric(x * std::ldexp(1.0, power), {}), metric(x, {}));
  }
}

void layer_threads_and_masks(const layer_metric& metric) {
  const row_major x = data(13).x;
  for (const int threads : {1, 2}) check_identical(with_threads(threads, [&] { return metric(x, {}); }), metric(x, {}));

  const partial_rows rows;
  row_major marked = x;
  for (Eigen::Index i = 0; i < tokens; ++i)
    if (!rows.keep[static_cast<std::size_t>(i)])
      marked.row(i).setConstant(i % 2 == 0 ? nan : HUGE_VAL);  // what is left out may be anything
  check_identical(metric(marked, layerwise::token_mask(rows.keep)), metric(rows_of(x, rows.kept), {}));
}

void layer_refusals(const layer_metric& metric) {
  using layerwise::degenerate_input_error;
  const row_major x = data(14).x;
  for (const double bad : {nan, HUGE_VAL, -HUGE_VAL})
    for (const Eigen::Index row : {Eigen::Index{0}, Eigen::Index{512}, tokens - 1}) {
      row_major wrong = x;
      wrong(row, 2) = bad;
      const std::string place = "row " + std::to_string(row) + ", column 2)";
      check_refused<layerwise::non_finite_error>([&] { (void)metric(wrong, {}); }, place);
    }
  const row_major none(0, dims), no_columns(tokens, 0);
  check_refused<degenerate_input_error>([&] { (void)metric(none, {}); }, "0 x 6");
  check_refused<degenerate_input_error>([&] { (void)metric(no_columns, {}); }, "x 0");
  const layerwise::token_mask short_mask(std::vector<bool>(tokens - 1, true)),
      nothing(std::vector<bool>(tokens, false));
  check_refused<layerwise::shape_error>([&] { (void)metric(x, short_mask); }, "token_mask");
  check_refused<degenerate_input_error>([&] { (void)metric(x, nothing); }, "none");
}

void layer_batches_and_merges(const layer_metric& metric,
                              const std::function<numbers(const layerwise::layer_moments&)>& of_moments,
                              const std::function<layerwise::layer_moments()>& make_moments) {
  const row_major x = data(15).x;
  const numbers expected = metric(x, {});
  std::mt19937_64 random(16);
  for (const Eigen::Index longest : {Eigen::Index{1}, Eigen::Index{100}, tokens}) {
    CAPTURE(longest);
    auto moments = make_moments();
    Eigen::Index first = 0;
    for (const Eigen::Index length : random_split(random, tokens, longest))
      moments.add(x.middleRows(first, length)), first += length;
    check_identical(of_moments(moments), expected);
  }
  auto all = make_moments();
  for (Eigen::Index first = 0; first < tokens; first += 275) {
    auto part = make_moments();
    part.add(x.middleRows(first, 275));
    all.merge(part);
  }
  CHECK(std::abs(first_of(of_moments(all)) - first_of(expected)) < 1e-12 * std::abs(first_of(expected)));
  check_refused<layerwise::degenerate_input_error>([&] { (void)of_moments(make_moments()); }, "none");
}

}  // namespace layerwise_test::laws
