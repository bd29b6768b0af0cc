#include <layerwise/metrics/cka_matrix.hpp>

#include "support.hpp"

#include <layerwise/metrics/debiased_linear_cka.hpp>
#include <layerwise/metrics/linear_cka.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <limits>
#include <random>
#include <vector>

namespace {

using layerwise::cka_matrix;
using layerwise::cka_matrix_result;
using layerwise::debiased_cka_matrix;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::layer_pairs;
using layerwise::non_finite_error;
using layerwise::option_error;
using layerwise::second_moments;
using layerwise::shape_error;
using layerwise::stack_moments;
using layerwise::token_mask;
using namespace layerwise_test;

std::vector<row_major> random_states(std::uint64_t seed, index n, index layers) {
  std::mt19937_64 random(seed);
  std::vector<row_major> states{random_matrix(random, n, 5)};
  for (index l = 1; l < layers; ++l) states.push_back(0.5 * states.back() + random_matrix(random, n, 5));
  return states;
}

/// Of pairs alone.
template <class Score>
void check_against(const Score& score_of, const cka_matrix_result& got, const std::vector<row_major>& states) {
  const auto layers = static_cast<index>(states.size());
  CHECK(got.scores.rows() == layers);
  CHECK(got.scores.cols() == layers);
  CHECK(got.tokens == states[0].rows());
  CHECK(got.dimensions == 5);
  double most = 0;
  for (index l = 0; l < layers; ++l)
    for (index m = 0; m < layers; ++m) {
      const auto pair = score_of(states[static_cast<std::size_t>(l)], states[static_cast<std::size_t>(m)]);
      if (l == m)
        CHECK(got.scores(l, m) == 1.0);
      else if (l < m)
        CHECK(got.scores(l, m) == pair.score);
      else
        CHECK(got.scores(l, m) == got.scores(m, l));
      if (l < m) most = std::max(most, pair.error_bound);
    }
  CHECK(got.error_bound == most);
  CHECK(most > 0.0);
  CHECK(most < 1e-11);
}

TEST_CASE("each entry is that of the pair alone, to the last bit; symmetric, 1 on the diagonal") {
  const auto states = random_states(1, 700, 4);
  check_against([](const auto& x, const auto& y) { return layerwise::cka(x, y); }, cka_matrix(states), states);
  check_against([](const auto& x, const auto& y) { return layerwise::debiased_cka(x, y); }, debiased_cka_matrix(states),
                states);
}

TEST_CASE("of moments in batches, and of the tokens that a mask keeps") {
  const auto states = random_states(2, 600, 3);
  stack_moments moments(layer_pairs::all());
  std::vector<row_major> first, rest, marked = states, kept;
  for (const row_major& h : states) first.push_back(h.topRows(250)), rest.push_back(h.bottomRows(350));
  moments.add(first);
  moments.add(rest);
  CHECK(cka_matrix(moments).scores == cka_matrix(states).scores);
  CHECK(debiased_cka_matrix(moments).scores == debiased_cka_matrix(states).scores);

  std::vector<bool> keep(600, true);
  keep[17] = false, marked[1](17, 2) = std::numeric_limits<double>::quiet_NaN();
  for (const row_major& h : states) {
    kept.emplace_back(599, 5);
    kept.back() << h.topRows(17), h.bottomRows(582);
  }
  CHECK(cka_matrix(marked, token_mask(keep)).scores == cka_matrix(kept).scores);
}

TEST_CASE("independent layers: biased scores rise with d / n, debiased ones do not") {
  std::mt19937_64 random(3);
  std::vector<row_major> states;
  for (int l = 0; l < 3; ++l) states.push_back(random_matrix(random, 64, 256));
  const auto biased = cka_matrix(states).scores, debiased = debiased_cka_matrix(states).scores;
  for (const auto& [l, m] : {std::pair{0, 1}, {0, 2}, {1, 2}}) {
    CHECK(biased(l, m) == doctest::Approx(0.8).epsilon(0.05));
    CHECK(std::abs(debiased(l, m)) < 0.03);
  }
}

TEST_CASE("what is refused, and which layer it is") {
  auto states = random_states(4, 20, 3);
  stack_moments none(layer_pairs::all()), neighbours, input(layer_pairs::all(), second_moments::input);
  neighbours.add(states);
  input.add(states);
  check_throws<degenerate_input_error>([&] { cka_matrix(none); }, "at least one token", "none", "hidden_states");
  check_throws<option_error>([&] { cka_matrix(neighbours); }, "a pair of layers that is kept (see layer_pairs)",
                             "0 and 2", "stack_moments");
  check_throws<option_error>([&] { cka_matrix(input); }, "moments of both (see second_moments::both)",
                             "moments of the input", "linear_cka");
  check_throws<shape_error>([&] { cka_matrix(std::vector<row_major>(1, states[0])); },
                            "hidden states h_0 ... h_L of at least 2 layers", "1", "hidden_states");
  const std::vector<row_major> few{states[0].topRows(3), states[1].topRows(3)};
  check_throws<degenerate_input_error>([&] { debiased_cka_matrix(few); }, "4 tokens", "3", "debiased_linear_cka");
  states[2].setConstant(0.25);
  check_throws<degenerate_input_error>([&] { cka_matrix(states); }, "rows that differ", "no variance",
                                       "hidden_states, layer 2");
  check_throws<degenerate_input_error>([&] { debiased_cka_matrix(states); }, "rows that differ", "no variance",
                                       "hidden_states, layer 2");
  states[2](3, 1) = std::numeric_limits<double>::infinity();
  check_throws<non_finite_error>([&] { cka_matrix(states); }, "finite values", "inf",
                                 "hidden_states, layer 2, row 3, column 1");
}

}  // namespace
