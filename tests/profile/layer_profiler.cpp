#include <layerwise/profile/layer_profiler.hpp>

#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "linearity_checks.hpp"
#include "live_memory.hpp"
#include "support.hpp"

#include <layerwise/data.hpp>
#include <layerwise/metrics.hpp>
#include <layerwise/profile/profile.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <forward_list>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace {

using layerwise::centering;
using layerwise::degenerate_input_error;
using layerwise::final_norm;
using layerwise::hidden_states_view;
using layerwise::index;
using layerwise::layer_metrics;
using layerwise::layer_profile;
using layerwise::layer_profiler;
using layerwise::linearity_options;
using layerwise::non_finite_error;
using layerwise::option_error;
using layerwise::profile;
using layerwise::profile_options;
using layerwise::shape_error;
using layerwise::solver;
using layerwise::token_mask;
using namespace layerwise_test;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// h_0 ... h_L.
using stack = std::vector<row_major>;

/// Every layer adds an update of another size to its input, which is partly a linear map of it.
stack random_stack(std::mt19937_64& random, index layers, index n, index d) {
  stack states{random_matrix(random, n, d).array() + 0.5};
  for (index l = 1; l <= layers; ++l) {
    const row_major& h = states.back();
    const double size = l == layers ? 3.0 : 0.3 * static_cast<double>(l);
    states.push_back(
        h + size * (h * random_matrix(random, d, d) / std::sqrt(static_cast<double>(d)) + random_matrix(random, n, d)));
  }
  return states;
}

stack rows_of(const stack& states, index first, index count) {
  stack part;
  for (const row_major& h : states) part.emplace_back(h.middleRows(first, count));
  return part;
}

void check_identical(const layer_metrics& a, const layer_metrics& b) {
  REQUIRE(a.linearity.has_value() == b.linearity.has_value());
  if (a.linearity) layerwise_test::check_identical(*a.linearity, *b.linearity);
  REQUIRE(a.residual_linearity.has_value() == b.residual_linearity.has_value());
  if (a.residual_linearity) layerwise_test::check_identical(*a.residual_linearity, *b.residual_linearity);
  CHECK(a.displacement == b.displacement);
  CHECK(a.angular_distance == b.angular_distance);
  CHECK(a.cosine_similarity == b.cosine_similarity);
  CHECK(a.contribution_ratio == b.contribution_ratio);
  CHECK(a.contribution_ratio_frobenius == b.contribution_ratio_frobenius);
  CHECK(a.jump_rate == b.jump_rate);
  CHECK(a.outlier_share == b.outlier_share);
  CHECK(a.outlier_dimension == b.outlier_dimension);
}

void check_identical(const layer_profile& a, const layer_profile& b) {
  CHECK(a.tokens == b.tokens);
  CHECK(a.dimensions == b.dimensions);
  CHECK(a.centering == b.centering);
  CHECK(a.final_norm == b.final_norm);
  REQUIRE(a.layers.size() == b.layers.size());
  for (std::size_t l = 0; l < a.layers.size(); ++l) {
    CAPTURE(l);
    check_identical(a.layers[l], b.layers[l]);
  }
}

layer_profile streamed(const stack& states, const std::vector<index>& lengths, const profile_options& options = {}) {
  layer_profiler profiler(options);
  index first = 0;
  for (const index length : lengths) {
    profiler.add(rows_of(states, first, length));
    first += length;
  }
  return profiler.profile();
}

TEST_CASE("every field is what the single functions say") {
  std::mt19937_64 random(1);
  for (const auto& size : std::vector<std::pair<index, index>>{{40, 1}, {20, 7}, {700, 7}, {1100, 30}, {20, 30}})
    for (const centering center : {centering::columns, centering::none}) {
      const index n = size.first, d = size.second;
      CAPTURE(n);
      CAPTURE(d);
      const stack states = random_stack(random, 4, n, d);
      const layer_profile p = profile(states, {.centering = center, .final_norm = final_norm::before});
      CHECK(p.tokens == n);
      CHECK(p.dimensions == d);
      CHECK(p.centering == center);
      CHECK(p.final_norm == final_norm::before);
      REQUIRE(p.layers.size() == 4);

      std::vector<double> displacements;
      for (std::size_t l = 1; l <= 4; ++l) {
        const row_major& before = states[l - 1];
        const row_major& after = states[l];
        const layer_metrics& layer = p.layers[l - 1];
        const linearity_options options{.centering = center};
        REQUIRE(layer.linearity.has_value());
        REQUIRE(layer.residual_linearity.has_value());
        layerwise_test::check_identical(*layer.linearity, layerwise::linearity(before, after, options));
        layerwise_test::check_identical(*layer.residual_linearity,
                                        layerwise::residual_linearity(before, after, options));
        CHECK(layer.displacement == near(layerwise::displacement(before, after).mean(), 1e-13));
        CHECK(layer.angular_distance == near(layerwise::angular_distance(before, after).mean(), 1e-13));
        CHECK(std::abs(layer.cosine_similarity - layerwise::cosine_similarity(before, after).mean()) < 1e-14);
        CHECK(layer.contribution_ratio == near(layerwise::contribution_ratio(before, after).mean(), 1e-13));
        CHECK(layer.contribution_ratio_frobenius ==
              near(layerwise::contribution_ratio_frobenius(before, after), 1e-13));

        const row_major spread = after.rowwise() - after.colwise().mean();
        index dimension;
        const double largest = spread.colwise().squaredNorm().maxCoeff(&dimension);
        REQUIRE(layer.outlier_share.has_value());
        CHECK(*layer.outlier_share == near(largest / spread.squaredNorm(), 1e-12));
        CHECK(layer.outlier_dimension == dimension);
        displacements.push_back(layer.displacement);
      }
      CHECK_FALSE(p.layers[0].jump_rate.has_value());
      for (index l = 2; l <= 4; ++l)
        CHECK(p.layers[static_cast<std::size_t>(l - 1)].jump_rate == layerwise::jump_rate(displacements, l));
    }
}

TEST_CASE("how tokens are batched changes no bit, of any field") {
  std::mt19937_64 random(2);
  for (const index n : {30, 511, 512, 513, 1025, 1600}) {
    const stack states = random_stack(random, 3, n, 5);
    const layer_profile whole = profile(states);
    CAPTURE(n);
    check_identical(streamed(states, {n}), whole);
    check_identical(streamed(states, std::vector<index>(static_cast<std::size_t>(n), 1)), whole);
    for (const index longest : {9, 300, 1500})
      check_identical(streamed(states, random_split(random, n, longest)), whole);
  }
}

TEST_CASE("one thread and two give the same profile, to the last bit") {
  std::mt19937_64 random(3);
  for (const auto& size : std::vector<std::pair<index, index>>{{600, 40}, {700, 270}}) {
    const index n = size.first, d = size.second;
    const stack states = random_stack(random, 3, n, d);
    const auto whole = [&] { return profile(states); };
    const auto by_batches = [&] { return streamed(states, {100, n - 100}); };
    check_identical(with_threads(1, whole), with_threads(2, whole));
    check_identical(with_threads(1, by_batches), with_threads(2, by_batches));
  }
}

TEST_CASE("profilers merge, in any order, to the profile of all tokens within the error bounds") {
  std::mt19937_64 random(4);
  for (const index n : {50, 700, 2500}) {
    const stack states = random_stack(random, 3, n, 6);
    const layer_profile whole = profile(states);
    CAPTURE(n);
    for (int trial = 0; trial < 5; ++trial) {
      std::vector<layer_profiler> parts;
      index first = 0;
      for (const index length : random_split(random, n, n)) {
        parts.emplace_back().add(rows_of(states, first, length));
        first += length;
      }
      std::shuffle(parts.begin(), parts.end(), random);
      layer_profiler merged;
      for (const layer_profiler& part : parts) merged.merge(part);
      merged.merge(layer_profiler());
      CHECK(merged.tokens() == n);
      const layer_profile p = merged.profile();
      CHECK(p.tokens == n);
      for (std::size_t l = 0; l < 3; ++l) {
        const layer_metrics& a = p.layers[l];
        const layer_metrics& b = whole.layers[l];
        CHECK(std::abs(a.linearity->score - b.linearity->score) <= a.linearity->error_bound + b.linearity->error_bound);
        CHECK(std::abs(a.residual_linearity->score - b.residual_linearity->score) <=
              a.residual_linearity->error_bound + b.residual_linearity->error_bound);
        CHECK(a.displacement == near(b.displacement, 1e-13));
        CHECK(a.angular_distance == near(b.angular_distance, 1e-13));
        CHECK(std::abs(a.cosine_similarity - b.cosine_similarity) < 1e-14);
        CHECK(a.contribution_ratio == near(b.contribution_ratio, 1e-13));
        CHECK(a.contribution_ratio_frobenius == near(b.contribution_ratio_frobenius, 1e-13));
        CHECK(*a.outlier_share == near(*b.outlier_share, 1e-12));
        if (l > 0) CHECK(std::abs(*a.jump_rate - *b.jump_rate) < 1e-11);
      }
    }
  }
}

TEST_CASE("merging with itself doubles every token") {
  std::mt19937_64 random(5);
  for (const index n : {100, 512, 800}) {
    const stack states = random_stack(random, 2, n, 4);
    layer_profiler profiler;
    profiler.add(states);
    const layer_profile once = profiler.profile();
    profiler.merge(profiler);
    const layer_profile twice = profiler.profile();
    CHECK(twice.tokens == 2 * n);
    for (std::size_t l = 0; l < 2; ++l) {
      CHECK(twice.layers[l].displacement == near(once.layers[l].displacement, 1e-13));
      CHECK(twice.layers[l].linearity->score == near(once.layers[l].linearity->score, 1e-12));
      CHECK(twice.layers[l].linearity->rank == once.layers[l].linearity->rank);
      CHECK(*twice.layers[l].outlier_share == near(*once.layers[l].outlier_share, 1e-12));
    }
  }
}

TEST_CASE("a profile may be asked for at any time, and goes on") {
  std::mt19937_64 random(6);
  const stack states = random_stack(random, 2, 1300, 4);
  layer_profiler profiler;
  for (index first = 0; first < 1300; first += 260) {
    profiler.add(rows_of(states, first, 260));
    CHECK(profiler.tokens() == first + 260);
    check_identical(profiler.profile(), profile(rows_of(states, 0, first + 260)));
  }
}

TEST_CASE("every layout and scalar type gives the numbers of its values, to the last bit") {
  std::mt19937_64 random(7);
  const index layers = 3, n = 530, d = 5;
  stack states = random_stack(random, layers - 1, n, d);
  for (row_major& h : states) h = h.cast<Eigen::bfloat16>().cast<double>().eval();
  const layer_profile expected = profile(states);

  std::vector<float> layer_major(static_cast<std::size_t>(layers * n * d)), token_major = layer_major;
  const auto by_layers = hidden_states_view<float>::layer_major(layer_major.data(), layers, n, d);
  const auto by_tokens = hidden_states_view<float>::token_major(token_major.data(), n, layers, d);
  std::vector<Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic>> brief;
  for (index l = 0; l < layers; ++l) {
    const row_major& h = states[static_cast<std::size_t>(l)];
    for (index i = 0; i < n; ++i)
      for (index j = 0; j < d; ++j) by_layers[l](i, j) = by_tokens[l](i, j) = static_cast<float>(h(i, j));
    brief.emplace_back(h.cast<Eigen::bfloat16>());
  }
  check_identical(profile(by_layers), expected);
  check_identical(profile(by_tokens), expected);
  check_identical(profile(brief), expected);
  check_identical(profile(std::forward_list<row_major>(states.begin(), states.end())), expected);
  layer_profiler profiler;
  profiler.add(by_tokens);
  check_identical(profiler.profile(), expected);
}

TEST_CASE("a mask is the same as leaving out the tokens by hand, to the last bit") {
  std::mt19937_64 random(8);
  for (const index n : {40, 600, 1300}) {
    stack states = random_stack(random, 2, n, 4);
    const token_mask mask = token_mask::skip_first(n, 10) & token_mask::skip_first(n, 17, 3);
    stack kept;
    for (row_major& h : states) kept.push_back(layerwise_test::rows_of(h, mask.rows(n)));
    for (index i = 0; i < n; ++i)
      if (!mask.keeps(i)) {  // what is left out may be anything
        states[0].row(i).setZero();
        states[1](i, 2) = nan;
        states[2](i, 1) = infinity;
      }
    const layer_profile expected = profile(kept);
    check_identical(profile(states, {}, mask), expected);
    layer_profiler profiler;
    profiler.add(states, mask);
    check_identical(profiler.profile(), expected);
  }
}

TEST_CASE("a mask goes with each batch") {
  std::mt19937_64 random(9);
  const stack a = random_stack(random, 2, 30, 4), b = random_stack(random, 2, 50, 4);
  layer_profiler masked, by_hand;
  masked.add(a, token_mask::skip_first(30, 10));
  masked.add(b);
  masked.add(b, token_mask(std::vector<bool>(50, false)));
  stack kept;
  for (const row_major& h : a) kept.push_back(layerwise_test::rows_of(h, token_mask::skip_first(30, 10).rows(30)));
  by_hand.add(kept);
  by_hand.add(b);
  CHECK(masked.tokens() == 77);
  check_identical(masked.profile(), by_hand.profile());
}

TEST_CASE("ill-conditioned layers: with the data at hand it is used, without it the bound says what is known") {
  std::mt19937_64 random(10);
  for (const centering center : {centering::columns, centering::none}) {
    const data_pair hard =
        make_data(random, {.n = 800, .d_x = 12, .d_y = 12, .level = 0.1, .condition = 1e8, .offset = 1.0});
    const stack states{hard.x, hard.y, random_matrix(random, 800, 12)};
    const profile_options options{.centering = center};
    const layer_profile from_data = profile(states, options), from_moments = streamed(states, {300, 500}, options);
    for (std::size_t l = 1; l <= 2; ++l) {
      const exact_regression exact = regress_exactly(states[l - 1], states[l], center == centering::columns);
      const layer_metrics& a = from_data.layers[l - 1];
      const layer_metrics& b = from_moments.layers[l - 1];
      CHECK(a.linearity->method == (l == 1 ? solver::orthogonal : solver::cholesky));
      CHECK(std::abs(a.linearity->score - exact.score()) <= std::min(1e-8, a.linearity->error_bound));
      CHECK(std::abs(a.residual_linearity->score - exact.residual_score()) <=
            std::min(1e-8, a.residual_linearity->error_bound));
      CHECK(b.linearity->method != solver::orthogonal);
      CHECK(std::abs(b.linearity->score - exact.score()) <= b.linearity->error_bound);
      CHECK(std::abs(b.residual_linearity->score - exact.residual_score()) <= b.residual_linearity->error_bound);
      if (l == 1) CHECK(b.linearity->error_bound > 1e-8);
    }
  }
}

TEST_CASE("layers of any magnitude, next to each other") {
  std::mt19937_64 random(11);
  stack states = random_stack(random, 1, 600, 4);
  states = {states[0] * 1e-310, states[1] * 1e150, states[0] * 1e300, states[1]};
  const layer_profile p = profile(states);
  check_identical(streamed(states, {1, 98, 501}), p);
  for (std::size_t l = 1; l <= 3; ++l) {
    const exact_regression exact = regress_exactly(states[l - 1], states[l]);
    CHECK(std::abs(p.layers[l - 1].linearity->score - exact.score()) <= p.layers[l - 1].linearity->error_bound);
    CHECK(std::abs(p.layers[l - 1].residual_linearity->score - exact.residual_score()) <=
          p.layers[l - 1].residual_linearity->error_bound);
    CHECK(std::isfinite(p.layers[l - 1].contribution_ratio));
    CHECK(std::isfinite(p.layers[l - 1].contribution_ratio_frobenius));
  }
}

TEST_CASE("a layer that changes nothing has no residual linearity; a constant one has no linearity") {
  std::mt19937_64 random(12);
  const row_major h = random_matrix(random, 60, 3), constant = row_major::Constant(60, 3, 0.1);
  for (const bool at_hand : {true, false}) {
    const stack states{h, h, constant, constant, h};
    const layer_profile p = at_hand ? profile(states) : streamed(states, {20, 40});
    const auto& layers = p.layers;
    REQUIRE(layers.size() == 4);
    // h -> h
    CHECK(layers[0].linearity->score == 1.0);
    CHECK_FALSE(layers[0].residual_linearity.has_value());
    CHECK(layers[0].displacement == 0.0);
    CHECK(layers[0].angular_distance == 0.0);
    CHECK(layers[0].cosine_similarity == 1.0);
    CHECK(layers[0].contribution_ratio == 0.0);
    CHECK(layers[0].outlier_share.has_value());
    // h -> constant: the update is -h and a constant.
    CHECK_FALSE(layers[1].linearity.has_value());
    CHECK(layers[1].residual_linearity->score == 1.0);
    CHECK_FALSE(layers[1].outlier_share.has_value());
    CHECK_FALSE(layers[1].outlier_dimension.has_value());
    CHECK(layers[1].jump_rate.has_value());
    // constant -> constant, constant -> h
    for (const std::size_t l : {2u, 3u}) {
      CHECK_FALSE(layers[l].linearity.has_value());
      CHECK_FALSE(layers[l].residual_linearity.has_value());
    }
    CHECK(layers[2].displacement == 0.0);
    CHECK(layers[3].outlier_share.has_value());
  }
  // Without centring a constant is signal.
  const layer_profile raw = profile(stack{constant, constant, h}, {.centering = centering::none});
  CHECK(raw.layers[0].linearity->score == 1.0);
  CHECK(raw.layers[0].linearity->rank == 1);
  CHECK_FALSE(raw.layers[0].residual_linearity.has_value());
  CHECK(raw.layers[1].linearity.has_value());
}

TEST_CASE("a single token has angles and no variance; few tokens say that they are few") {
  std::mt19937_64 random(13);
  const stack one = random_stack(random, 2, 1, 5);
  const layer_profile p = profile(one);
  CHECK(p.tokens == 1);
  for (std::size_t l = 1; l <= 2; ++l) {
    CHECK_FALSE(p.layers[l - 1].linearity.has_value());
    CHECK_FALSE(p.layers[l - 1].residual_linearity.has_value());
    CHECK_FALSE(p.layers[l - 1].outlier_share.has_value());
    CHECK(p.layers[l - 1].displacement == near(layerwise::displacement(one[l - 1], one[l])[0]));
  }
  const layer_profile few = profile(random_stack(random, 2, 5, 8));
  for (const layer_metrics& layer : few.layers) {
    CHECK(layer.linearity->underdetermined);
    CHECK(layer.linearity->score == 1.0);
    CHECK(layer.residual_linearity->score == 1.0);
  }
}

TEST_CASE("an outlier dimension is seen") {
  std::mt19937_64 random(14);
  stack states = random_stack(random, 1, 200, 20);
  states[1].col(7) *= 1e4;
  const layer_metrics layer = profile(states).layers[0];
  CHECK(layer.outlier_dimension == 7);
  CHECK(*layer.outlier_share > 0.99999);
  CHECK(*layer.outlier_share <= 1.0);
}

TEST_CASE("options reach the scores") {
  std::mt19937_64 random(15);
  const stack states = random_stack(random, 1, 100, 5);
  for (const solver method : {solver::cholesky, solver::orthogonal, solver::rank_revealing})
    CHECK(profile(states, {.method = method}).layers[0].linearity->method == method);
  CHECK(profile(states, {.tolerance = 0.0}).layers[0].linearity->method == solver::orthogonal);
  CHECK(profile(states).final_norm == final_norm::unspecified);
  CHECK(streamed(states, {100}, {.final_norm = final_norm::after}).final_norm == final_norm::after);
}

TEST_CASE("without linearity everything else is the same, to the last bit, and memory is O(d)") {
  std::mt19937_64 random(31);
  const stack states = random_stack(random, 3, 1300, 40);
  profile_options angles;
  angles.linearity = false;
  const auto cleared = [](layer_profile p) {
    for (layer_metrics& layer : p.layers) layer.linearity.reset(), layer.residual_linearity.reset();
    return p;
  };
  REQUIRE(profile(states).layers[1].linearity);
  check_identical(profile(states, angles), cleared(profile(states)));
  layer_profiler first(angles), second(angles), with_first, with_second;
  for (layer_profiler* each : {&first, &with_first}) each->add(rows_of(states, 0, 700));
  for (layer_profiler* each : {&second, &with_second}) each->add(rows_of(states, 700, 600));
  first.merge(second), with_first.merge(with_second);
  check_identical(first.profile(), cleared(with_first.profile()));
  CHECK_THROWS_AS(first.merge(with_second), option_error);
  CHECK_THROWS_AS(with_first.merge(second), option_error);

  // 40,000 dimensions: their moments would be 25 GB.
  stack wide{random_matrix(random, 3, 40'000), random_matrix(random, 3, 40'000)};
  const layer_profile p = profile(wide, angles);
  CHECK_FALSE(p.layers[0].linearity);
  CHECK(p.layers[0].displacement == doctest::Approx(0.5).epsilon(0.05));
  CHECK(p.layers[0].outlier_share);
}

TEST_CASE("hidden states that are not are refused, with the place, and nothing of them is added") {
  std::mt19937_64 random(16);
  const index n = 600;
  const stack good = random_stack(random, 2, n, 4);
  layer_profiler profiler;
  profiler.add(good);
  const auto refused = [&]<class Error>(Error, const stack& states, const std::string& expected, const std::string& got,
                                        const std::string& place) {
    check_throws<Error>([&] { profile(states); }, expected, got, place);
    check_throws<Error>([&] { profiler.add(states); }, expected, got, place);
  };
  const auto changed = [&](std::size_t layer, const row_major& h) {
    stack states = good;
    states[layer] = h;
    return states;
  };
  refused(shape_error(""), {good[0]}, "hidden states h_0 ... h_L of at least 2 layers", "1", "hidden_states");
  refused(shape_error(""), {}, "hidden states h_0 ... h_L of at least 2 layers", "0", "hidden_states");
  refused(shape_error(""), changed(2, random_matrix(random, n - 1, 4)), "a matrix of 600 x 4", "599 x 4",
          "hidden_states, layer 2");
  refused(shape_error(""), changed(1, random_matrix(random, n, 5)), "a matrix of 600 x 4", "600 x 5",
          "hidden_states, layer 1");
  refused(degenerate_input_error(""), stack(2, row_major(0, 4)), "a matrix with rows and columns", "0 x 4",
          "hidden_states, layer 0");
  refused(degenerate_input_error(""), stack(2, row_major(4, 0)), "a matrix with rows and columns", "4 x 0",
          "hidden_states, layer 0");
  for (const std::size_t layer : {0u, 1u, 2u})
    for (const index row : {0, 511, 512, 599}) {
      const std::string at = "hidden_states, layer " + std::to_string(layer) + ", row " + std::to_string(row);
      row_major h = 1e250 * good[layer];  // a peak that would change the scale, were it taken over
      h(row, 3) = nan;
      refused(non_finite_error(""), changed(layer, h), "finite values", "nan", at + ", column 3");
      h(row, 1) = -infinity;
      refused(non_finite_error(""), changed(layer, h), "finite values", "-inf", at + ", column 1");
      h.row(row).setZero();
      refused(degenerate_input_error(""), changed(layer, h), "a row with a direction (mask the tokens that have none)",
              "a row of zeros", at);
    }
  check_throws<shape_error>([&] { profiler.add(random_stack(random, 3, 10, 4)); }, "3 layers of 4 columns, as before",
                            "4 layers of 4 columns", "hidden_states");
  check_throws<shape_error>([&] { profiler.add(random_stack(random, 2, 10, 5)); }, "3 layers of 4 columns, as before",
                            "3 layers of 5 columns", "hidden_states");
  layer_profiler other;
  other.add(random_stack(random, 2, 10, 5));
  check_throws<shape_error>([&] { profiler.merge(other); }, "3 layers of 4 columns, as before", "3 layers of 5 columns",
                            "hidden_states");
  const token_mask shorter(std::vector<bool>(10, true));
  check_throws<shape_error>([&] { profiler.add(good, shorter); }, "a mask of 600 tokens", "10", "token_mask");
  check_throws<shape_error>([&] { profile(good, {}, shorter); }, "a mask of 600 tokens", "10", "token_mask");

  CHECK(profiler.tokens() == n);
  check_identical(profiler.profile(), profile(good));

  // A first batch that fails sets nothing.
  layer_profiler fresh;
  CHECK_THROWS_AS(fresh.add(changed(0, row_major::Constant(n, 4, nan))), const non_finite_error&);
  fresh.add(random_stack(random, 3, 10, 5));
  CHECK(fresh.tokens() == 10);
}

TEST_CASE("no tokens, and options without meaning, are refused") {
  std::mt19937_64 random(17);
  const stack states = random_stack(random, 1, 8, 3);
  const token_mask nothing(std::vector<bool>(8, false));
  check_throws<degenerate_input_error>([&] { layer_profiler().profile(); }, "at least one token", "none",
                                       "hidden_states");
  check_throws<degenerate_input_error>([&] { profile(states, {}, nothing); }, "at least one token", "none",
                                       "hidden_states");
  for (const double tolerance : {nan, infinity, -1e-9}) {
    CHECK_THROWS_AS(layer_profiler({.tolerance = tolerance}), const option_error&);
    CHECK_THROWS_AS(profile(states, {.tolerance = tolerance}), const option_error&);
  }
  check_throws<option_error>([&] { layer_profiler({.method = solver::orthogonal}); }, "a method that works on moments",
                             "solver::orthogonal, which needs the data", "linearity_options");
  CHECK_NOTHROW(layer_profiler({.method = solver::orthogonal, .linearity = false}));
}

TEST_CASE("memory does not grow with the tokens") {
  const auto live_after = [](index batches) {
    return with_threads(1, [&] {
      layer_profiler profiler;
      const stack batch(4, row_major::Random(700, 16));
      for (index i = 0; i < batches; ++i) profiler.add(batch);
      return live_bytes();
    });
  };
  if (!live_bytes()) {
    MESSAGE("not checked: this C library does not tell how much memory is in use");
    return;
  }
  live_after(3);
  CHECK(*live_after(100) <= *live_after(3) + 4096);
}

TEST_CASE("a contribution beyond the range of double is refused, with the layer") {
  std::vector<row_major> states{row_major::Random(4, 2), row_major::Random(4, 2), row_major::Random(4, 2)};
  states[1] *= 1e200;
  states[2] *= 1e-200;
  CHECK_THROWS_WITH_AS(layerwise::profile(states),
                       "layerwise: expected ratios of norms within the range of double, got a mean of inf "
                       "(hidden_states, layer 2)",
                       layerwise::non_finite_error);
}

}  // namespace
