#include <layerwise/statistics/cross_moments.hpp>

#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "linearity_checks.hpp"
#include "live_memory.hpp"
#include "support.hpp"

#include <layerwise/metrics/linearity.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace {

using layerwise::centering;
using layerwise::cross_moments;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::linearity_options;
using layerwise::linearity_result;
using layerwise::non_finite_error;
using layerwise::option_error;
using layerwise::second_moments;
using layerwise::shape_error;
using layerwise::solver;
using layerwise::token_mask;
using layerwise::detail::block_rows;
using layerwise::detail::product_tile;
using namespace layerwise_test;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// All that can be had from moments must be the same to the last bit.
void check_identical(const cross_moments& a, const cross_moments& b) {
  CHECK(a.tokens() == b.tokens());
  for (const centering center : {centering::columns, centering::none}) {
    const linearity_options options{.centering = center};
    layerwise_test::check_identical(layerwise::linearity(a, options), layerwise::linearity(b, options));
    layerwise_test::check_identical(layerwise::fit_linear_map(a, options), layerwise::fit_linear_map(b, options));
    if (a.x_dimensions() == a.y_dimensions())
      layerwise_test::check_identical(layerwise::residual_linearity(a, options),
                                      layerwise::residual_linearity(b, options));
  }
}

/// What the solver sees.
layerwise::detail::pair_moments sums_of(const cross_moments& moments, centering center) {
  return layerwise::detail::moments_of(layerwise::detail::chain_access::of(moments), {0, 1}, center);
}

void add_rows(cross_moments& moments, const data_pair& data, index first, index count) {
  moments.add(data.x.middleRows(first, count), data.y.middleRows(first, count));
}

cross_moments in_one_call(const data_pair& data) {
  cross_moments moments;
  add_rows(moments, data, 0, data.x.rows());
  return moments;
}

cross_moments in_batches(const data_pair& data, const std::vector<index>& lengths) {
  cross_moments moments;
  index first = 0;
  for (const index length : lengths) {
    add_rows(moments, data, first, length);
    first += length;
  }
  return moments;
}

/// One accumulator per part, merged pairwise in random order.
cross_moments in_random_merges(std::mt19937_64& random, const data_pair& data, const std::vector<index>& lengths) {
  std::vector<cross_moments> parts;
  index first = 0;
  for (const index length : lengths) {
    add_rows(parts.emplace_back(), data, first, length);
    first += length;
  }
  while (parts.size() > 1) {
    std::shuffle(parts.begin(), parts.end(), random);
    const cross_moments last = parts.back();
    parts.pop_back();
    parts.back().merge(last);
  }
  return parts.front();
}

/// Both scores, centred and not, lie within their error bounds of the exact ones.
void check_certified(const cross_moments& moments, const data_pair& data) {
  for (const centering center : {centering::columns, centering::none}) {
    const exact_regression exact = regress_exactly(data.x, data.y, center == centering::columns);
    const linearity_result plain = layerwise::linearity(moments, {.centering = center});
    CHECK(std::abs(plain.score - exact.score()) <= plain.error_bound);
    if (data.x.cols() != data.y.cols()) continue;
    const linearity_result residual = layerwise::residual_linearity(moments, {.centering = center});
    CHECK(std::abs(residual.score - exact.residual_score()) <= residual.error_bound);
  }
}

TEST_CASE("tokens and dimensions are counted") {
  cross_moments moments;
  CHECK(moments.tokens() == 0);
  CHECK(moments.x_dimensions() == 0);
  CHECK(moments.y_dimensions() == 0);
  moments.add(row_major::Random(3, 4), row_major::Random(3, 5));
  moments.add(row_major::Random(600, 4), row_major::Random(600, 5));
  CHECK(moments.tokens() == 603);
  CHECK(moments.x_dimensions() == 4);
  CHECK(moments.y_dimensions() == 5);
  moments.add(row_major::Random(3, 4), row_major::Random(3, 5), token_mask(std::vector<bool>{true, false, false}));
  CHECK(moments.tokens() == 604);
  cross_moments other;
  other.merge(moments);
  CHECK(other.tokens() == 604);
  CHECK(other.y_dimensions() == 5);
}

TEST_CASE("the sums are those of long double, within the rounding they own up to") {
  std::mt19937_64 random(1);
  for (const index d : std::vector<index>{1, 15, 17, product_tile - 1, product_tile + 1, 300})
    for (const double offset : {0.0, 1e6}) {
      const index n = d < 100 ? 1100 : 530, d_y = d < 100 ? d + 3 : 20;
      const data_pair data = make_data(random, {.n = n, .d_x = d, .d_y = d_y, .offset = offset});
      CAPTURE(d);
      CAPTURE(offset);
      const auto moments = sums_of(in_one_call(data), centering::columns);
      long_matrix x = exact_values(data.x), y = exact_values(data.y);
      const long_row x_mean = center_exactly(x), y_mean = center_exactly(y);
      const double rounding = 1e-16 * (2.0 * std::sqrt(static_cast<double>(n)) + 8.0);
      const Eigen::RowVectorXd x_size = moments.x.noise.cwiseSqrt(), y_size = moments.target_stats().noise.cwiseSqrt();
      CHECK(moments.sum_rounding >= 0x1p-53 * static_cast<double>(std::min(n, block_rows)));
      const long_matrix second = x.transpose() * x, cross = x.transpose() * y;
      for (index j = 0; j < d; ++j) {
        for (index i = j; i < d; ++i)
          REQUIRE(std::abs(moments.second(i, j) - second(i, j)) <= rounding * x_size[i] * x_size[j]);
        for (index c = 0; c < d_y; ++c)
          REQUIRE(std::abs(moments.cross(j, c) - cross(j, c)) <= rounding * x_size[j] * y_size[c]);
        REQUIRE(std::abs(moments.x_mean[j] - x_mean[j]) <= 1e-15 * (1.0 + std::abs(x_mean[j])));
      }
      for (index c = 0; c < d_y; ++c) {
        REQUIRE(std::abs(moments.y_mean[c] - y_mean[c]) <= 1e-15 * (1.0 + std::abs(y_mean[c])));
        REQUIRE(std::abs(moments.target_stats().energy[c] - y.col(c).squaredNorm()) <=
                rounding * moments.target_stats().noise[c]);
      }
      // The shift does its job: the offset has not entered the sums.
      CHECK(moments.x.noise.maxCoeff() < 2.0 * moments.second.diagonal().maxCoeff());
    }
}

TEST_CASE("how rows are split into batches changes no bit") {
  std::mt19937_64 random(2);
  for (const index n : std::vector<index>{2, 100, block_rows - 1, block_rows, block_rows + 1, 2 * block_rows + 1, 1700})
    for (const index d : {3, 20}) {
      const hard_case c{.n = n, .d_x = d, .d_y = n % 2 == 0 ? d : d + 2, .condition = 10.0, .offset = 10.0};
      CAPTURE(c);
      const data_pair data = make_data(random, c);
      const cross_moments expected = in_one_call(data);
      check_identical(in_batches(data, std::vector<index>(static_cast<std::size_t>(n), 1)), expected);
      for (const index longest : {7, 400, 2000})
        check_identical(in_batches(data, random_split(random, n, longest)), expected);
    }
}

TEST_CASE("nor does it for magnitudes that grow or shrink on the way") {
  std::mt19937_64 random(3);
  for (const auto& ends : std::vector<std::pair<double, double>>{
           {1e-200, 1e200}, {1e200, 1e-200}, {0.0, 1e-310}, {0.0, 1e300}, {1e-310, 1.0}, {1.0, 1e-310}, {1e-3, 1e3}}) {
    const double first = ends.first, last = ends.second;
    CAPTURE(first);
    CAPTURE(last);
    data_pair data = make_data(random, {.n = 2 * block_rows + 100, .d_x = 3, .d_y = 3});
    for (row_major* m : {&data.x, &data.y}) {
      m->topRows(block_rows) *= first;
      m->bottomRows(block_rows + 100) *= last;
    }
    const cross_moments expected = in_one_call(data);
    check_certified(expected, data);
    for (const index longest : {1, 300, 3000})
      check_identical(in_batches(data, random_split(random, data.x.rows(), longest)), expected);
    check_certified(in_random_merges(random, data, {block_rows, block_rows + 100}), data);
    check_certified(in_random_merges(random, data, {10, block_rows, block_rows + 90}), data);
  }
}

TEST_CASE("a mask is the same as leaving out the rows by hand, and looks at no row it leaves out") {
  std::mt19937_64 random(4);
  data_pair data = make_data(random, {.n = 1200, .d_x = 4, .d_y = 4});
  std::vector<bool> keep;
  std::vector<index> kept;
  for (index i = 0; i < 1200; ++i) {
    keep.push_back(random_index(random, 0, 3) > 0);
    if (keep.back())
      kept.push_back(i);
    else
      data.x(i, 1) = nan, data.y.row(i).setConstant(i % 2 == 0 ? infinity : 1e308);
  }
  cross_moments masked, by_hand, from_scratch;
  masked.add(data.x, data.y, token_mask(keep));
  by_hand.add(rows_of(data.x, kept), rows_of(data.y, kept));
  check_identical(masked, by_hand);
  // A batch of which nothing is kept adds nothing, but sets the dimensions.
  from_scratch.add(data.x, data.y, token_mask(std::vector<bool>(1200, false)));
  CHECK(from_scratch.tokens() == 0);
  CHECK(from_scratch.x_dimensions() == 4);
  from_scratch.add(data.x, data.y, token_mask(keep));
  check_identical(from_scratch, by_hand);
}

TEST_CASE("scalar types and layouts change no bit; every type's NaN is found") {
  std::mt19937_64 random(5);
  const data_pair data = make_data(random, {.n = 600, .d_x = 5, .d_y = 5, .offset = 1.0});
  const auto check_type = [&]<class Scalar>(Scalar) {
    Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic> x = data.x.cast<Scalar>(), y = data.y.cast<Scalar>();
    cross_moments moments;
    moments.add(x, y);
    check_identical(moments, in_one_call({x.template cast<double>(), y.template cast<double>()}));
    y(599, 3) = static_cast<Scalar>(nan);
    check_throws<non_finite_error>([&] { moments.add(x, y); }, "finite values", "nan", "Y, row 599, column 3");
  };
  check_type(double());
  check_type(float());
  check_type(Eigen::half());
  check_type(Eigen::bfloat16());
  cross_moments lazy;
  lazy.add(data.x * 2.0, data.x + data.y);
  check_identical(lazy, in_one_call({data.x * 2.0, data.x + data.y}));
}

TEST_CASE("one thread and two give the same sums, to the last bit") {
  std::mt19937_64 random(6);
  for (const auto& dimensions : std::vector<std::pair<index, index>>{{70, 70}, {200, 30}, {257, 257}, {800, 40}}) {
    const index d_x = dimensions.first, d_y = dimensions.second;
    const data_pair data = make_data(random, {.n = d_x + 600, .d_x = d_x, .d_y = d_y, .offset = 1.0});
    const auto accumulate = [&] { return in_one_call(data); };
    const auto merge = [&] {
      cross_moments a = in_batches(data, {550}), b;
      add_rows(b, data, 550, d_x + 50);
      a.merge(b);
      return a;
    };
    for (const centering center : {centering::columns, centering::none}) {
      const auto one = sums_of(with_threads(1, accumulate), center);
      const auto two = sums_of(with_threads(2, accumulate), center);
      CHECK(one.second == two.second);
      CHECK(one.cross == two.cross);
      CHECK(one.target_stats().energy == two.target_stats().energy);
      const auto merged_by_one = sums_of(with_threads(1, merge), center);
      const auto merged_by_two = sums_of(with_threads(2, merge), center);
      CHECK(merged_by_one.second == merged_by_two.second);
      CHECK(merged_by_one.cross == merged_by_two.cross);
    }
  }
}

TEST_CASE("merges of any parts in any order stay within the error bound, and close to the sum in one call") {
  std::mt19937_64 random(7);
  for (int trial = 0; trial < 30; ++trial) {
    const index d = random_index(random, 1, 12), n = random_index(random, 2 * block_rows, 3000);
    const hard_case c{.n = n,
                      .d_x = d,
                      .d_y = random_index(random, 0, 1) == 0 ? d : random_index(random, 1, 12),
                      .condition = 10.0,
                      .offset = pick(random, std::vector<double>{0.0, 1.0, 1e3}),
                      .dead = 1};
    CAPTURE(c);
    const data_pair data = make_data(random, c);
    const double expected = layerwise::linearity_score(in_one_call(data));
    for (const index longest : {100, 700, 3000}) {
      const cross_moments merged = in_random_merges(random, data, random_split(random, n, longest));
      CHECK(merged.tokens() == n);
      CHECK(std::abs(layerwise::linearity_score(merged) - expected) < 1e-11);
      check_certified(merged, data);
    }
  }
}

TEST_CASE("merges of parts with means far apart lose no accuracy") {
  std::mt19937_64 random(8);
  for (const double step : {1.0, 1e3, 1e6}) {
    CAPTURE(step);
    data_pair data = make_data(random, {.n = 4 * block_rows, .d_x = 5, .d_y = 5});
    for (index part = 0; part < 4; ++part) {
      data.x.middleRows(part * block_rows, block_rows).rowwise() += step * random_matrix(random, 1, 5).row(0);
      data.y.middleRows(part * block_rows, block_rows).rowwise() += step * random_matrix(random, 1, 5).row(0);
    }
    check_certified(in_one_call(data), data);
    for (int order = 0; order < 5; ++order)
      check_certified(in_random_merges(random, data, std::vector<index>(4, block_rows)), data);
  }
}

TEST_CASE("parts where Y is close to X merge with parts where it is close to 0, both ways") {
  std::mt19937_64 random(9);
  for (const double level : {1.0, 1e-2, 1e-5})
    for (const double offset : {0.0, 1.0, 1e3}) {
      // First half: y = x and a small update, which is what the moments keep. Second half: y next to nothing.
      const hard_case c{
          .n = 4 * block_rows, .d_x = 6, .d_y = 6, .target = target_kind::mixed, .level = level, .offset = offset};
      CAPTURE(c);
      const data_pair data = make_data(random, c);
      check_certified(in_one_call(data), data);
      for (int order = 0; order < 6; ++order)
        check_certified(in_random_merges(random, data, std::vector<index>(4, block_rows)), data);
      cross_moments near_x = in_batches(data, {2 * block_rows}), near_zero;
      add_rows(near_zero, data, 2 * block_rows, 2 * block_rows);
      cross_moments forwards = near_x, backwards = near_zero;
      forwards.merge(near_zero);
      backwards.merge(near_x);
      check_certified(forwards, data);
      check_certified(backwards, data);
    }
}

TEST_CASE("merging nothing changes nothing; merging into nothing copies; merging with itself doubles") {
  std::mt19937_64 random(10);
  for (const index n : std::vector<index>{30, block_rows, 1300}) {
    const data_pair data = make_data(random, {.n = n, .d_x = 4, .d_y = 4, .offset = 1.0});
    const cross_moments moments = in_one_call(data);
    cross_moments same = moments, copy;
    same.merge(cross_moments());
    check_identical(same, moments);
    copy.merge(moments);
    check_identical(copy, moments);
    same.merge(same);
    CHECK(same.tokens() == 2 * n);
    data_pair twice{row_major(2 * n, 4), row_major(2 * n, 4)};
    twice.x << data.x, data.x;
    twice.y << data.y, data.y;
    check_certified(same, twice);
    CHECK(std::abs(layerwise::linearity_score(same) - layerwise::linearity_score(moments)) < 1e-13);
    // Adding goes on after a merge.
    copy.add(data.x, data.y);
    check_certified(copy, twice);
  }
}

TEST_CASE("what does not fit is refused, and nothing of it is added") {
  std::mt19937_64 random(11);
  const data_pair data = make_data(random, {.n = 700, .d_x = 4, .d_y = 3});
  const cross_moments before = in_one_call(data);
  cross_moments moments = before;
  const row_major x = data.x, y = data.y, wide = random_matrix(random, 700, 5);

  check_throws<shape_error>([&] { moments.add(x, y.topRows(699)); }, "700 rows, as in X", "699 x 3", "Y");
  check_throws<shape_error>([&] { moments.add(wide, y); }, "4 columns, as before", "5", "X");
  check_throws<shape_error>([&] { moments.add(x, wide); }, "3 columns, as before", "5", "Y");
  check_throws<shape_error>([&] { moments.add(x, y, token_mask(std::vector<bool>(699, true))); },
                            "a mask of 700 tokens", "699", "token_mask");
  check_throws<degenerate_input_error>([&] { moments.add(row_major(0, 4), row_major(0, 3)); },
                                       "a matrix with rows and columns", "0 x 4", "X");
  check_throws<degenerate_input_error>([&] { moments.add(x, row_major(700, 0)); }, "a matrix with rows and columns",
                                       "700 x 0", "Y");
  for (const index row : {0, 300, 511, 512, 699})
    for (const double bad : {nan, infinity, -infinity}) {
      row_major x_bad = 1e200 * x,
                y_bad = 1e200 * y;  // a peak that would change the scale, were it taken over
      y_bad(row, 2) = bad;
      const std::string got = std::isnan(bad) ? "nan" : bad > 0.0 ? "inf" : "-inf";
      check_throws<non_finite_error>([&] { moments.add(x_bad, y_bad); }, "finite values", got,
                                     "Y, row " + std::to_string(row) + ", column 2");
      x_bad(row, 1) = bad;
      check_throws<non_finite_error>([&] { moments.add(x_bad, y_bad); }, "finite values", got,
                                     "X, row " + std::to_string(row) + ", column 1");
    }
  check_throws<shape_error>([&] { moments.merge(in_one_call({wide, y})); }, "4 columns, as before", "5", "X");
  check_throws<shape_error>([&] { moments.merge(in_one_call({x, wide})); }, "3 columns, as before", "5", "Y");
  check_throws<option_error>([&] { moments.merge(cross_moments(second_moments::both)); }, "moments of the input",
                             "moments of both", "cross_moments");
  check_identical(moments, before);
  moments.add(x, y);
  cross_moments undisturbed = before;
  undisturbed.add(x, y);
  check_identical(moments, undisturbed);

  // A first call that fails sets no dimensions.
  cross_moments fresh;
  row_major bad = x;
  bad(5, 0) = nan;
  check_throws<non_finite_error>([&] { fresh.add(bad, y); }, "finite values", "nan", "X, row 5, column 0");
  CHECK(fresh.x_dimensions() == 0);
  fresh.add(wide, wide);
  CHECK(fresh.x_dimensions() == 5);
}

TEST_CASE("the culprit in a row whose finite values add up to infinity is no culprit") {
  std::mt19937_64 random(12);
  const row_major x = random_matrix(random, 40, 3);
  const double largest = std::numeric_limits<double>::max() / x.cwiseAbs().maxCoeff();
  cross_moments moments;
  moments.add(x * largest, x * largest);
  CHECK(std::abs(layerwise::linearity_score(moments) - 1.0) < 1e-14);
}

TEST_CASE("memory does not grow with the tokens") {
  const auto live_after = [](index blocks) {
    return with_threads(1, [&] {
      cross_moments moments;
      const row_major batch = row_major::Random(700, 16);
      for (index i = 0; i < blocks; ++i) moments.add(batch, batch);
      return live_bytes();
    });
  };
  if (!live_bytes()) {
    MESSAGE("not checked: this C library does not tell how much memory is in use");
    return;
  }
  live_after(3);
  CHECK(*live_after(300) <= *live_after(3) + 4096);
}

TEST_CASE("merges of magnitudes that have nothing in common, and of different targets") {
  std::mt19937_64 random(31);
  // Of `far` the target is the output, 1e-301; of `near` the update, beside 1e18.
  row_major x_far = random_matrix(random, 600, 1), x_near = random_matrix(random, 600, 1);
  x_far.array() += 1.9e18, x_near *= 1e18;
  const row_major y_far = 1e-301 * random_matrix(random, 600, 1), y_near = x_near + random_matrix(random, 600, 1);
  row_major x(1200, 1), y(1200, 1);
  x << x_far, x_near;
  y << y_far, y_near;
  const exact_regression exact = regress_in_quad(x, y);
  cross_moments far, near, both;
  far.add(x_far, y_far);
  near.add(x_near, y_near);
  both = near;
  both.merge(far);
  far.merge(near);
  for (const cross_moments* each : {&far, &both}) {
    const auto with = layerwise::linearity(*each), without = layerwise::residual_linearity(*each);
    CHECK(std::abs(with.score - static_cast<double>(exact.score())) <= with.error_bound);
    CHECK(std::abs(without.score - static_cast<double>(exact.residual_score())) <= without.error_bound);
    CHECK(with.error_bound < 1e-10);
  }
}

TEST_CASE("merges of denormal layers: none of their scales makes NaN of what others have seen") {
  std::mt19937_64 random(32);
  const auto check = [](const cross_moments& merged, const row_major& x, const row_major& y) {
    const exact_regression exact = regress_in_quad(x, y);
    const auto with = layerwise::linearity(merged), without = layerwise::residual_linearity(merged);
    CHECK(std::abs(with.score - static_cast<double>(exact.score())) <= with.error_bound);
    CHECK(std::abs(without.score - static_cast<double>(exact.residual_score())) <= without.error_bound);
    CHECK(without.error_bound < 1e-10);
  };
  // 512 rows of Y are zeros, the others some 1e-305.
  row_major x = random_matrix(random, 1100, 1), y = 1e-305 * random_matrix(random, 1100, 1);
  y.topRows(512).setZero();
  cross_moments first, second;
  first.add(x.topRows(512), y.topRows(512));
  second.add(x.bottomRows(588), y.bottomRows(588));
  cross_moments forward = first, backward = second;
  forward.merge(second);
  backward.merge(first);
  check(forward, x, y), check(backward, x, y);

  // Y is 1e-312; X is 1e18 in the first rows, where the update is the smaller target, and 1 in the others.
  x.topRows(512) = 1e18 * (x.topRows(512).array().abs() + 1.0);
  y = 1e-312 * random_matrix(random, 1100, 1);
  cross_moments large, small_ones;
  large.add(x.topRows(512), y.topRows(512));
  small_ones.add(x.bottomRows(588), y.bottomRows(588));
  forward = large, backward = small_ones;
  forward.merge(small_ones);
  backward.merge(large);
  check(forward, x, y), check(backward, x, y);
}

TEST_CASE("a layer whose variance is beyond the reach of products counts as constant, from the data, too") {
  std::mt19937_64 random(33);
  const row_major x = random_matrix(random, 40, 2);
  row_major y(40, 3);
  y << 1e-162 * random_matrix(random, 40, 2), Eigen::VectorXd::Constant(40, 0.445613);
  for (const double size : {1.0, 1e-315}) {
    const row_major scaled = size * x;
    CHECK_THROWS_AS(layerwise::linearity(scaled, y), degenerate_input_error);
  }
  y.leftCols(2) *= 1e20;
  const auto result = layerwise::linearity(x, y);
  CHECK(std::abs(result.score - static_cast<double>(regress_in_quad(x, y).score())) <= result.error_bound);
}

TEST_CASE("a column that counts as constant beside others as small is part of what the two scores differ by") {
  std::mt19937_64 random(34);
  // Energies of some 1e-289, where products begin to vanish; one column's is below the limit.
  row_major y = 1e-135 * random_matrix(random, 25, 3), x = 9e-146 * random_matrix(random, 25, 3);
  x.col(1) *= 0.5;
  x.col(2).setConstant(0.886464);
  y.col(2).setConstant(0.886464);
  const auto result = layerwise::residual_linearity(x, y);
  row_major kept(25, 1), update = y - x;
  kept << x.col(0);
  CHECK(result.rank == 1);
  CHECK(std::abs(result.score - static_cast<double>(regress_in_quad(kept, update).score())) <= result.error_bound);
}

TEST_CASE("a layer whose first block is all zeros gets its scale when it has one") {
  row_major x = row_major::Zero(1024, 2), y(1024, 1);
  for (index i = 0; i < 1024; ++i) {
    y(i, 0) = static_cast<double>(i * 7 % 11);
    if (i >= block_rows) x(i, 0) = 0x1p-353 * static_cast<double>(i * 5 % 13), x(i, 1) = 0x1p-497 * y(i, 0);
  }
  cross_moments moments;
  moments.add(x, y);
  const row_major larger = x * 0x1p400;
  const exact_regression exact = regress_exactly(larger, y, true);
  for (const linearity_result& result : {layerwise::linearity(moments), layerwise::linearity(x, y)}) {
    CHECK(std::abs(result.score - exact.score()) <= result.error_bound);
    CHECK(result.rank == 2);
    CHECK(result.error_bound < 1e-8);
  }
}

TEST_CASE("a first block that misleads by 900 powers of two makes no NaN, alone or merged") {
  row_major x = row_major::Zero(1024, 1), y(1024, 1);
  for (index i = 0; i < 1024; ++i) {
    y(i, 0) = i % 2 == 0 ? 0x1p-700 : -0x1p-700;
    if (i >= block_rows) x(i, 0) = 0x1p190 * (static_cast<double>(i % 4) - 1.5);
  }
  cross_moments moments(second_moments::both), turned(second_moments::both);
  moments.add(x, y);
  turned.add(-x, -y);
  turned.merge(moments);
  for (const cross_moments& each : {moments, turned}) {
    CHECK(each.scatter().xy.allFinite());
    for (const linearity_result& result : {layerwise::linearity(each), layerwise::residual_linearity(each)}) {
      CHECK(std::isfinite(result.score));
      CHECK(std::isfinite(result.error_bound));
    }
  }
}

}  // namespace
