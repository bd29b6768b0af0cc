// The umbrella header alone, used the way the documentation tells: every fixed name, with the types it
// promises.
#include <layerwise/layerwise.hpp>

#include "hard_data.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <concepts>
#include <cstdint>
#include <optional>
#include <random>
#include <stdexcept>
#include <vector>

namespace {

using layerwise_test::data_pair;
using layerwise_test::near;
using layerwise_test::row_major;

data_pair some_data() {
  std::mt19937_64 random(1);
  return layerwise_test::make_data(random, {.n = 64, .d_x = 6, .d_y = 6});
}

TEST_CASE("the metrics of a pair of layers") {
  const data_pair data = some_data();
  const auto &x = data.x, &y = data.y;
  const layerwise::linearity_options options{.centering = layerwise::centering::none};

  const std::same_as<double> auto score = layerwise::linearity_score(x, y);
  const std::same_as<layerwise::linearity_result> auto result = layerwise::linearity(x, y);
  const std::same_as<double> auto residual_score = layerwise::residual_linearity_score(x, y);
  const std::same_as<layerwise::linearity_result> auto residual = layerwise::residual_linearity(x, y);
  const std::same_as<layerwise::linear_map> auto map = layerwise::fit_linear_map(x, y);
  CHECK(score == result.score);
  CHECK(residual_score == residual.score);
  CHECK(layerwise::linearity_score(x, y, options) == layerwise::linearity(x, y, options).score);
  CHECK(layerwise::residual_linearity_score(x, y, options) == layerwise::residual_linearity(x, y, options).score);
  CHECK(layerwise::fit_linear_map(x, y, options).bias.isZero(0.0));

  // The same by the definitions, from the pieces.
  const row_major x_unit = layerwise::procrustes_normalize(x), y_unit = layerwise::procrustes_normalize(y);
  const row_major update = layerwise::residual_update(x, y);
  CHECK(update == y - x);
  CHECK(layerwise::linearity_score(x_unit, y_unit) == near(score, 1e-12));
  CHECK(layerwise::linearity_score(x, update) == near(residual_score, 1e-12));
  const row_major predicted = (x * map.weight).rowwise() + map.bias;
  const row_major centered = y.rowwise() - y.colwise().mean();
  CHECK(1.0 - (predicted - y).squaredNorm() / centered.squaredNorm() == near(score, 1e-12));

  const std::same_as<Eigen::VectorXd> auto cosine = layerwise::cosine_similarity(x, y);
  const std::same_as<Eigen::VectorXd> auto angle = layerwise::angular_distance(x, y);
  const std::same_as<Eigen::VectorXd> auto displacement = layerwise::displacement(x, y);
  REQUIRE(cosine.size() == 64);
  REQUIRE(angle.size() == 64);
  REQUIRE(displacement.size() == 64);
  CHECK((displacement - (1.0 - cosine.array()).matrix() / 2.0).cwiseAbs().maxCoeff() < 1e-15);
}

TEST_CASE("the fields of a linearity result") {
  const data_pair data = some_data();
  const auto &x = data.x, &y = data.y;
  const layerwise::linearity_result r = layerwise::linearity(x, y);
  static_assert(std::same_as<decltype(r.score), double>);
  static_assert(std::same_as<decltype(r.adjusted_score), double>);
  static_assert(std::same_as<decltype(r.error_bound), double>);
  static_assert(std::same_as<decltype(r.condition), double>);
  static_assert(std::same_as<decltype(r.rank), Eigen::Index>);
  static_assert(std::same_as<decltype(r.tokens), Eigen::Index>);
  static_assert(std::same_as<decltype(r.underdetermined), bool>);
  CHECK(r.adjusted_score < r.score);
  CHECK(r.condition >= 1.0);
  CHECK(r.rank == 6);
  CHECK(r.tokens == 64);
  CHECK_FALSE(r.underdetermined);
  CHECK(r.error_bound < 1e-12);
}

TEST_CASE("moments take the place of the data, and merge") {
  const data_pair data = some_data();
  const auto &x = data.x, &y = data.y;
  layerwise::cross_moments first, second;
  first.add(x.topRows(30), y.topRows(30));
  second.add(x.bottomRows(34), y.bottomRows(34));
  first.merge(second);
  CHECK(layerwise::linearity(first).score == layerwise::linearity_score(first));
  CHECK(layerwise::linearity_score(first) == near(layerwise::linearity_score(x, y), 1e-12));
  CHECK(layerwise::residual_linearity_score(first) == near(layerwise::residual_linearity_score(x, y), 1e-12));
  CHECK(layerwise::residual_linearity(first).tokens == 64);
  CHECK(layerwise::fit_linear_map(first).weight.isApprox(layerwise::fit_linear_map(x, y).weight, 1e-12));
}

TEST_CASE("the jump rate: of layer l, and of the last layer") {
  const std::vector<double> displacements{0.1, 0.05, 0.4};
  const std::same_as<double> auto last = layerwise::jump_rate(displacements);
  CHECK(last == near(35.0));
  CHECK(layerwise::jump_rate(displacements, 2) == near(35.0));
  CHECK(layerwise::jump_rate(displacements, 3) == last);
}

TEST_CASE("the regularizers: values, and gradients that are added") {
  const data_pair data = some_data();
  const auto &x = data.x, &y = data.y;
  const std::vector<row_major> states{x, y, x + y};
  const auto check = [&](const auto& regularizer) {
    const std::same_as<double> auto value = regularizer.value(states);
    std::vector<row_major> gradients(3, row_major::Constant(64, 6, 1.0));
    const std::same_as<double> auto again = regularizer.value_and_gradient(states, gradients);
    CHECK(value > 0.0);
    CHECK(again == near(value, 1e-13));
    // The slope in the direction of x, by differences and by the gradient less what was there before.
    const double step = 1e-6;
    std::vector<row_major> ahead = states, behind = states;
    ahead[1] += step * x, behind[1] -= step * x;
    const double slope = (regularizer.value(ahead) - regularizer.value(behind)) / (2.0 * step);
    CHECK((gradients[1].array() - 1.0).matrix().cwiseProduct(x).sum() == near(slope, 1e-6));
  };
  check(layerwise::mse_regularizer{.lambda = 0.5});
  check(layerwise::cosine_regularizer{.lambda = 0.5});
  check(layerwise::jreg_regularizer{.lambda = 0.5, .alpha = 1.0});
  const double mean = layerwise::mse_regularizer{.lambda = 2.0, .reduction = layerwise::reduction::mean}.value(states);
  const double sum = layerwise::mse_regularizer{.lambda = 2.0, .reduction = layerwise::reduction::sum}.value(states);
  CHECK(sum == near(64.0 * mean));
}

TEST_CASE("a profile, whole and streamed, and its fields") {
  const data_pair data = some_data();
  const auto &x = data.x, &y = data.y;
  const std::vector<row_major> states{x, y, x + y};
  const std::same_as<layerwise::layer_profile> auto whole = layerwise::profile(states);
  const layerwise::layer_profile labelled =
      layerwise::profile(states, layerwise::profile_options{.final_norm = layerwise::final_norm::after});
  CHECK(labelled.final_norm == layerwise::final_norm::after);
  layerwise::layer_profiler profiler;
  layerwise::layer_profiler other{layerwise::profile_options{}};
  profiler.add(states);
  other.merge(profiler);
  CHECK(other.profile().layers.size() == 2);

  CHECK(whole.tokens == 64);
  CHECK(whole.dimensions == 6);
  const std::vector<layerwise::layer_metrics>& layers = whole.layers;
  static_assert(std::same_as<decltype(layers[0].linearity), std::optional<layerwise::linearity_result>>);
  static_assert(std::same_as<decltype(layers[0].residual_linearity), std::optional<layerwise::linearity_result>>);
  static_assert(std::same_as<decltype(layers[0].jump_rate), std::optional<double>>);
  static_assert(std::same_as<decltype(layers[0].displacement), double>);
  static_assert(std::same_as<decltype(layers[0].angular_distance), double>);
  static_assert(std::same_as<decltype(layers[0].cosine_similarity), double>);
  static_assert(std::same_as<decltype(layers[0].contribution_ratio), double>);
  CHECK(layers[0].linearity->score == near(layerwise::linearity_score(x, y), 1e-13));
  CHECK(layers[1].residual_linearity->score == near(layerwise::linearity_score(y, x), 1e-12));
  CHECK_FALSE(layers[0].jump_rate.has_value());
  CHECK(layers[1].jump_rate.has_value());
}

TEST_CASE("rank-3 arrays in both orders, masks and raw 16-bit patterns") {
  std::mt19937_64 random(2);
  const row_major values = layerwise_test::random_matrix(random, 3 * 20, 4);
  const auto layer_major = layerwise::hidden_states_view<const double>::layer_major(values.data(), 3, 20, 4);
  const auto token_major = layerwise::hidden_states_view<const double>::token_major(values.data(), 20, 3, 4);
  CHECK(layerwise::profile(layer_major).tokens == 20);
  CHECK(layerwise::profile(token_major, {}, layerwise::token_mask::skip_first(20, 5)).tokens == 16);
  CHECK(layerwise::linearity(layer_major[0], layerwise::strided_view(values.data(), 20, 4)).score == 1.0);
  const std::vector<std::uint16_t> bits(20, 0x3f80);  // 1 in bfloat16
  const layerwise::strided_view ones(layerwise::from_bits<Eigen::bfloat16>(bits.data()), 5, 4);
  CHECK(layerwise::displacement(ones, ones).isZero(0.0));
}

TEST_CASE("errors are invalid_argument, and of one family") {
  const data_pair data = some_data();
  const auto &x = data.x, &y = data.y;
  static_assert(std::derived_from<layerwise::error, std::invalid_argument>);
  static_assert(std::derived_from<layerwise::shape_error, layerwise::error>);
  static_assert(std::derived_from<layerwise::non_finite_error, layerwise::error>);
  static_assert(std::derived_from<layerwise::degenerate_input_error, layerwise::error>);
  CHECK_THROWS_AS(layerwise::linearity_score(x, y.topRows(3)), const layerwise::error&);
  CHECK_THROWS_AS(layerwise::residual_linearity_score(x, x), const std::invalid_argument&);
}

TEST_CASE("the version, as numbers and as text") {
  CHECK(LAYERWISE_VERSION_MAJOR == 0);
  CHECK(LAYERWISE_VERSION_MINOR >= 1);
  CHECK(LAYERWISE_VERSION_PATCH >= 0);
}

}  // namespace
