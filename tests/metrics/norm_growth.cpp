#include <layerwise/metrics/norm_growth.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace {

using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::non_finite_error;
using layerwise::norm_growth;
using layerwise::option_error;
using layerwise::shape_error;
using layerwise::token_mask;
using namespace layerwise_test;

TEST_CASE("worked values: mean squares, the bounds, and what is within them") {
  std::vector<row_major> states(4, row_major(2, 2));
  states[0] << 1, 1, 1, -1;  // 1, where 1 is expected
  states[1] << 1, 2, 0, 1;   // 6 / 4, of 1.5 ... 2.5
  states[2] << 3, 4, 3, 0;   // 34 / 4, of 2 ... 4
  states[3] << 1, 2, 2, 1;   // 10 / 4, of 2.5 ... 5.5
  const auto growth = norm_growth(states);
  const double expected[] = {1.0, 1.5, 8.5, 2.5};
  for (std::size_t l = 0; l < 4; ++l) {
    CHECK(growth[l].mean_square == near(expected[l], 1e-15));
    CHECK(growth[l].pre_ln_least == 1.0 + 0.5 * static_cast<double>(l));
    CHECK(growth[l].pre_ln_most == 1.0 + 1.5 * static_cast<double>(l));
    CHECK(growth[l].within_pre_ln == (l != 2));
    CHECK(growth[l].within_post_ln == (l == 1));
    CHECK(growth[l].layer == static_cast<index>(l));
    CHECK(growth[l].tokens == 2);
  }
  // 1.05 is within a tenth of 1, not within a hundredth; 6 is above 5.5 by less than a tenth.
  states[0] *= std::sqrt(1.05), states[3] *= std::sqrt(2.4);
  CHECK(norm_growth(states)[0].within_pre_ln);
  CHECK(norm_growth(states)[3].within_pre_ln);
  CHECK_FALSE(norm_growth(states, {.tolerance = 0.01})[0].within_pre_ln);
  CHECK_FALSE(norm_growth(states, {.tolerance = 0.01})[3].within_pre_ln);
  CHECK(norm_growth(states, {}, token_mask({true, false}))[2].mean_square == near(12.5 * 1.0, 1e-15));
}

/// A block at initialization, as the paper analyses it: attention is the mean over tokens of x W, the feed-forward
/// sublayer max(0, x U) V, and all weights are Xavier's.
struct random_block {
  row_major value, up, down;

  template <class Generator>
  random_block(Generator& random, index d)
      : value(random_matrix(random, d, d) / std::sqrt(d)),
        up(random_matrix(random, d, d) / std::sqrt(d)),
        down(random_matrix(random, d, d) / std::sqrt(d)) {}

  row_major attention(const row_major& x) const {
    return row_major::Constant(x.rows(), x.rows(), 1.0 / static_cast<double>(x.rows())) * (x * value);
  }
  row_major feed_forward(const row_major& x) const { return (x * up).cwiseMax(0.0) * down; }
};

row_major normalized(row_major x) {
  for (index i = 0; i < x.rows(); ++i) {
    x.row(i).array() -= x.row(i).mean();
    x.row(i) *= std::sqrt(static_cast<double>(x.cols()) / x.row(i).squaredNorm());
  }
  return x;
}

TEST_CASE("Pre-LN at initialization is between the bounds, Post-LN at 3/2 before its last normalization, 1 behind it") {
  std::mt19937_64 random(1);
  const index d = 160;
  row_major pre = random_matrix(random, 24, d), post = pre;
  std::vector<row_major> pre_states{pre}, sums{post}, outputs{post};
  for (int l = 1; l <= 6; ++l) {
    const random_block block(random, d);
    pre += block.attention(normalized(pre));
    pre += block.feed_forward(normalized(pre));
    pre_states.push_back(pre);
    const row_major middle = normalized(post + block.attention(post));
    sums.push_back(middle + block.feed_forward(middle));
    post = normalized(sums.back());
    outputs.push_back(post);
  }
  for (const auto& of : norm_growth(pre_states)) CHECK(of.within_pre_ln);
  CHECK(norm_growth(pre_states)[6].mean_square > 3.5);
  const auto of_sums = norm_growth(sums), of_outputs = norm_growth(outputs);
  for (std::size_t l = 1; l <= 6; ++l) {
    CHECK(of_sums[l].within_post_ln);
    CHECK(of_outputs[l].mean_square == near(1.0, 1e-13));
    CHECK_FALSE(of_outputs[l].within_pre_ln);
  }
}

TEST_CASE("what is refused") {
  std::vector<row_major> states(2, row_major::Ones(3, 2));
  for (const double bad : {-0.1, 1.5})
    check_throws<option_error>([&] { norm_growth(states, {.tolerance = bad}); }, "a tolerance in 0..1",
                               layerwise::detail::text(bad), "norm_growth_options");
  CHECK_THROWS_AS(norm_growth(states, {.tolerance = std::numeric_limits<double>::quiet_NaN()}), option_error);
  check_throws<shape_error>([&] { norm_growth(std::vector<row_major>(1, states[0])); },
                            "hidden states h_0 ... h_L of at least 2 layers", "1", "hidden_states");
  check_throws<degenerate_input_error>([&] { norm_growth(states, {}, token_mask(std::vector<bool>(3, false))); },
                                       "at least one token", "none", "hidden_states");
  for (const double size : {1e200, 1e-162}) {
    states[1] = row_major::Constant(3, 2, size);
    check_refused<non_finite_error>([&] { norm_growth(states); }, " squared (hidden_states, layer 1)");
  }
  states[1].setZero();
  CHECK(norm_growth(states)[1].mean_square == 0.0);
  states[1](2, 1) = std::numeric_limits<double>::quiet_NaN();
  check_throws<non_finite_error>([&] { norm_growth(states); }, "finite values", "nan",
                                 "hidden_states, layer 1, row 2, column 1");
}

}  // namespace
