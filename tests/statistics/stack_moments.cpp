#include <layerwise/statistics/stack_moments.hpp>

#include "hard_data.hpp"
#include "linearity_checks.hpp"
#include "support.hpp"

#include <layerwise/metrics/linearity.hpp>
#include <layerwise/profile.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using layerwise::centering;
using layerwise::cross_moments;
using layerwise::index;
using layerwise::layer_moments;
using layerwise::layer_pair;
using layerwise::layer_pairs;
using layerwise::layer_profiler;
using layerwise::non_finite_error;
using layerwise::option_error;
using layerwise::second_moments;
using layerwise::shape_error;
using layerwise::stack_moments;
using layerwise::token_mask;
using namespace layerwise_test;

using stack = std::vector<row_major>;

/// h_0 ... h_L: some layers change little, some turn everything round.
stack random_stack(std::mt19937_64& random, index layers, index n, index d) {
  stack states{random_matrix(random, n, d)};
  for (index l = 1; l < layers; ++l) {
    const row_major step = random_matrix(random, n, d);
    states.push_back(l % 3 == 2 ? row_major(-states.back() + step) : row_major(states.back() + 0.1 * step));
  }
  return states;
}

stack rows_of_all(const stack& states, index first, index count) {
  stack some;
  for (const row_major& h : states) some.push_back(h.middleRows(first, count));
  return some;
}

void check_same(const layerwise::scatter& a, const layerwise::scatter& b) {
  CHECK(a.tokens == b.tokens);
  CHECK(a.xx == b.xx);
  CHECK(a.xy == b.xy);
  CHECK(a.yy == b.yy);
  CHECK(a.x_mean == b.x_mean);
  CHECK(a.y_mean == b.y_mean);
  CHECK(a.rounding.gamma == b.rounding.gamma);
  CHECK(a.rounding.x_norm == b.rounding.x_norm);
  CHECK(a.rounding.y_norm == b.rounding.y_norm);
  CHECK(a.rounding.cross_norm == b.rounding.cross_norm);
  CHECK(a.different_rows == b.different_rows);
}

void check_same(const cross_moments& a, const cross_moments& b) {
  check_same(a.scatter(), b.scatter());
  check_same(a.scatter(centering::none), b.scatter(centering::none));
  layerwise_test::check_identical(layerwise::linearity(a), layerwise::linearity(b));
  layerwise_test::check_identical(layerwise::residual_linearity(a), layerwise::residual_linearity(b));
}

/// Each pair and layer of a stack of moments against accumulators of their own.
void check_against_pairs(const stack_moments& moments, const stack& states, const std::vector<layer_pair>& pairs) {
  for (const auto& [from, to] : pairs) {
    CAPTURE(from);
    CAPTURE(to);
    const cross_moments kept = moments.pair(from, to);
    CHECK(kept.kept() == moments.kept());
    cross_moments alone(kept.kept());
    alone.add(states[static_cast<std::size_t>(from)], states[static_cast<std::size_t>(to)]);
    check_same(kept, alone);
  }
}

TEST_CASE("every pair of any list is what its own accumulator gives, to the last bit; so is every layer") {
  std::mt19937_64 random(1);
  const stack states = random_stack(random, 5, 1300, 11);
  for (const layer_pairs& pairs :
       {layer_pairs::neighbours(), layer_pairs::apart(2), layer_pairs::apart(4), layer_pairs::to_last(),
        layer_pairs::all(), layer_pairs({{4, 0}, {1, 3}, {2, 1}, {3, 4}}), layer_pairs::none()})
    for (const second_moments kept : {second_moments::input, second_moments::both}) {
      stack_moments whole(pairs, kept), parts(pairs, kept);
      whole.add(states);
      for (const index first : {0, 200, 700})
        parts.add(rows_of_all(states, first, first == 700 ? 600 : first == 0 ? 200 : 500));
      for (const stack_moments& moments : {whole, parts}) {
        CHECK(moments.tokens() == 1300);
        CHECK(moments.layers() == 5);
        CHECK(moments.dimensions() == 11);
        check_against_pairs(moments, states, pairs.of(5));
        for (index l = 0; kept == second_moments::both && l < 5; ++l) {
          layer_moments alone;
          alone.add(states[static_cast<std::size_t>(l)]);
          check_same(moments.layer(l).scatter(), alone.scatter());
        }
      }
    }
}

TEST_CASE("merges of stacks are merges of their pairs") {
  std::mt19937_64 random(2);
  stack states = random_stack(random, 4, 1500, 8);
  for (row_major& h : states) h.bottomRows(600).array() += 20.0;
  for (const layer_pairs& pairs : {layer_pairs::neighbours(), layer_pairs::all()}) {
    const auto taken = [&](index first, index count) {
      stack_moments moments(pairs);
      moments.add(rows_of_all(states, first, count));
      return moments;
    };
    stack_moments merged = taken(0, 900);
    merged.merge(taken(900, 600));
    merged.merge(merged);
    for (const auto& [from, to] : pairs.of(4)) {
      const row_major &x = states[static_cast<std::size_t>(from)], &y = states[static_cast<std::size_t>(to)];
      cross_moments alone(second_moments::both), rest(second_moments::both);
      alone.add(x.topRows(900), y.topRows(900));
      rest.add(x.bottomRows(600), y.bottomRows(600));
      alone.merge(rest);
      alone.merge(alone);
      check_same(merged.pair(from, to), alone);
    }
    stack_moments empty(pairs);
    empty.merge(merged);
    check_same(empty.pair(1), merged.pair(1));
    merged.merge(stack_moments(pairs));
    CHECK(merged.tokens() == 3000);
  }
}

TEST_CASE("a pair that is kept both ways is two pairs: each merges with what was summed alone") {
  std::mt19937_64 random(5);
  const row_major x = random_matrix(random, 700, 3), y = x + 0.1 * random_matrix(random, 700, 3);
  stack_moments moments(layer_pairs({{1, 0}, {0, 1}}));
  moments.add(stack{x, y});
  cross_moments alone(second_moments::both), twice(second_moments::both);
  alone.add(x, y);
  twice.add(x, y);
  twice.merge(alone);
  cross_moments first = moments.pair(0, 1), last = alone;
  first.merge(alone);
  last.merge(moments.pair(0, 1));
  check_same(first, twice);
  check_same(last, twice);
}

TEST_CASE("what was moved from is empty") {
  std::mt19937_64 random(6);
  stack_moments moments;
  moments.add(random_stack(random, 3, 700, 4));
  cross_moments pair = moments.pair(1);
  layer_moments layer = moments.layer(0);
  layer_profiler profiler;
  profiler.add(random_stack(random, 3, 700, 4));
  const stack_moments taken = std::move(moments);
  const cross_moments taken_pair = std::move(pair);
  const layer_moments taken_layer = std::move(layer);
  const layer_profiler taken_profiler = std::move(profiler);
  CHECK(taken.tokens() + taken_pair.tokens() + taken_layer.tokens() + taken_profiler.tokens() == 2800);
  CHECK_THROWS_AS(moments.pair(1), const layerwise::degenerate_input_error&);
  CHECK_THROWS_AS(pair.scatter(), const layerwise::degenerate_input_error&);
  CHECK_THROWS_AS(layer.scatter(), const layerwise::degenerate_input_error&);
  CHECK_THROWS_AS(profiler.profile(), const layerwise::degenerate_input_error&);
}

TEST_CASE("a profiler's moments are those of its layers, the last one's second moments included") {
  std::mt19937_64 random(3);
  const stack states = random_stack(random, 4, 700, 6);
  const token_mask mask = token_mask::skip_first(700, 50, 2);
  layer_profiler profiler;
  profiler.add(states, mask);
  stack_moments moments;
  moments.add(states, mask);
  for (index l = 1; l < 4; ++l) {
    check_same(profiler.moments().pair(l), moments.pair(l));
    CHECK(profiler.moments().pair(l).kept() == second_moments::both);
    layerwise_test::check_identical(layerwise::linearity(profiler.moments().pair(l)),
                                    *profiler.profile().layers[static_cast<std::size_t>(l - 1)].linearity);
  }
  check_same(profiler.moments().layer(3).scatter(), moments.layer(3).scatter());
  layer_profiler inputs({.second_moments = second_moments::input}), angles({.linearity = false});
  inputs.add(states);
  angles.add(states);
  CHECK(inputs.moments().layer(2).tokens() == 700);
  CHECK_THROWS_AS(inputs.moments().layer(3), const option_error&);
  CHECK_THROWS_AS(angles.moments().pair(1), const option_error&);
}

TEST_CASE("what is not kept, does not exist or does not fit is refused, and nothing is added") {
  std::mt19937_64 random(4);
  stack states = random_stack(random, 3, 60, 4);
  stack_moments moments(layer_pairs::to_last(), second_moments::input);
  CHECK(moments.dimensions() == 0);
  CHECK(moments.layers() == 0);
  moments.add(states);
  const stack_moments before = moments;
  check_throws<option_error>([&] { moments.pair(0, 1); }, "a pair of layers that is kept (see layer_pairs)", "0 and 1",
                             "stack_moments");
  check_throws<option_error>([&] { moments.layer(2); },
                             "a layer whose second moments are kept (see second_moments::both)", "layer 2",
                             "stack_moments");
  check_throws<shape_error>([&] { moments.pair(3); }, "a layer in 1..2", "3", "stack_moments");
  check_throws<shape_error>([&] { moments.pair(0); }, "a layer in 1..2", "0", "stack_moments");
  check_throws<shape_error>([&] { moments.pair(0, 3); }, "a layer in 0..2", "3", "stack_moments");
  check_throws<shape_error>([&] { moments.layer(-1); }, "a layer in 0..2", "-1", "stack_moments");
  check_throws<option_error>([&] { stack_moments(layer_pairs({{0, 7}})).add(states); }, "two different layers in 0..2",
                             "0 and 7", "layer_pairs");
  check_throws<shape_error>([&] { moments.add(random_stack(random, 4, 60, 4)); }, "3 layers of 4 columns, as before",
                            "4 layers of 4 columns", "hidden_states");
  check_throws<option_error>([&] { moments.merge(stack_moments(layer_pairs::all(), second_moments::input)); },
                             "the same pairs of layers", "others", "stack_moments");
  check_throws<option_error>([&] { moments.merge(stack_moments(layer_pairs::to_last())); }, "moments of the input",
                             "moments of both", "stack_moments");
  states[1](7, 2) = std::numeric_limits<double>::quiet_NaN();
  check_throws<non_finite_error>([&] { moments.add(states); }, "finite values", "nan",
                                 "hidden_states, layer 1, row 7, column 2");
  check_same(moments.pair(0, 2), before.pair(0, 2));
}

}  // namespace
