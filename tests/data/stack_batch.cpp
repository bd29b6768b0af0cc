#include <layerwise/data/stack_batch.hpp>

#include "support.hpp"

#include <layerwise/data/strided_view.hpp>
#include <layerwise/profile.hpp>
#include <layerwise/training/jreg.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <limits>
#include <random>
#include <ranges>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace {

using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::layer_profile;
using layerwise::layer_profiler;
using layerwise::non_finite_error;
using layerwise::shape_error;
using layerwise::stack_batch;
using layerwise::token_mask;
using layerwise_test::check_throws;
using layerwise_test::random_matrix;
using layerwise_test::row_major;

static_assert(layerwise::hidden_states<stack_batch>);
static_assert(std::ranges::forward_range<const stack_batch>);
static_assert(std::is_same_v<std::ranges::range_reference_t<const stack_batch>, const layerwise::row_matrix&>);

std::vector<row_major> make_layers(std::mt19937_64& random, index tokens, index d = 8) {
  std::vector<row_major> layers{random_matrix(random, tokens, d)};
  for (int l = 1; l < 5; ++l)
    layers.emplace_back(layers.back() + 0.2 * layers.back() * random_matrix(random, d, d) +
                        0.3 * random_matrix(random, tokens, d));
  return layers;
}

template <class States>
void fill(stack_batch& batch, const States& layers) {
  batch.clear();
  for (const auto& h : layers) batch.add_layer(h);
}

/// Every number of a profile; -1 for what is empty.
std::vector<double> numbers(const layer_profile& p) {
  std::vector<double> all{static_cast<double>(p.tokens), static_cast<double>(p.layers.size())};
  for (const layerwise::layer_metrics& layer : p.layers)
    layerwise::visit_values(&layer, [&](const std::string&, const auto* value, std::string_view) {
      all.push_back(value == nullptr ? -1.0 : static_cast<double>(*value));
    });
  return all;
}

TEST_CASE("layers that come one after the other are the hidden states that they would be at once") {
  std::mt19937_64 random(1);
  const auto layers = make_layers(random, 300);
  stack_batch batch;
  CHECK(batch.size() == 0);
  CHECK(batch.begin() == batch.end());
  fill(batch, layers);
  REQUIRE(batch.size() == 5);
  index l = 0;
  for (const auto& h : batch) {
    CHECK(&h == &batch[l]);
    CHECK(h == layers[static_cast<std::size_t>(l++)]);
  }
  CHECK(l == 5);
  CHECK(std::ranges::distance(batch) == 5);
  CHECK(numbers(layerwise::profile(batch)) == numbers(layerwise::profile(layers)));
  const layerwise::jreg_regularizer jreg{.lambda = 1.0, .alpha = 0.5};
  CHECK(jreg.value(batch) == jreg.value(layers));
}

TEST_CASE("batches of one buffer, written over after each layer, give the profile of the stacks to the bit") {
  std::mt19937_64 random(2);
  layer_profiler by_layer, at_once;
  stack_batch batch;
  for (const index tokens : {200, 200, 512, 77, 700, 1}) {
    CAPTURE(tokens);
    const auto layers = make_layers(random, tokens);
    const auto mask = token_mask::skip_first(tokens, 100, tokens == 1 ? 0 : 2);
    std::vector<float> buffer(static_cast<std::size_t>(tokens * 8));
    std::vector<Eigen::MatrixXf> rounded;
    batch.clear();
    for (const row_major& h : layers) {
      rounded.emplace_back(h.cast<float>());
      for (index i = 0; i < tokens; ++i)
        for (index j = 0; j < 8; ++j) buffer[static_cast<std::size_t>(i * 8 + j)] = rounded.back()(i, j);
      batch.add_layer(layerwise::strided_view<const float>(buffer.data(), tokens, 8));
      std::fill(buffer.begin(), buffer.end(), std::numeric_limits<float>::quiet_NaN());
    }
    by_layer.add(batch, mask);
    at_once.add(rounded, mask);
  }
  CHECK(numbers(by_layer.profile()) == numbers(at_once.profile()));
}

TEST_CASE("layers of any type, storage order and stride are copied exactly") {
  std::mt19937_64 random(3);
  const row_major m = random_matrix(random, 150, 9);
  stack_batch batch;
  std::vector<row_major> expected;
  const auto add = [&](const auto& h) {
    batch.add_layer(h);
    expected.emplace_back(h.template cast<double>());
  };
  add(m);
  add(Eigen::MatrixXd(m));
  add(Eigen::MatrixXf(m.cast<float>()));
  add(Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic>(m.cast<Eigen::bfloat16>()));
  add(Eigen::Matrix<Eigen::half, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>(m.cast<Eigen::half>()));
  add(2.0 * m);
  batch.add_layer(layerwise::strided_view<const double>(&m(149, 8), 150, 9, -9, -1));
  expected.emplace_back(m.reverse());
  batch.add_layer(layerwise::any_view(layerwise::strided_view<const double>(m.data(), 150, 9)));
  expected.push_back(m);
  batch.add_layer(batch[1]);  // which a vector that grows moves
  expected.push_back(m);
  REQUIRE(batch.size() == static_cast<index>(expected.size()));
  for (index l = 0; l < batch.size(); ++l) {
    CAPTURE(l);
    CHECK(batch[l] == expected[static_cast<std::size_t>(l)]);
  }
}

TEST_CASE("what is wrong with a layer's shape is said at once, and leaves the batch as it was") {
  stack_batch batch;
  check_throws<degenerate_input_error>([&] { batch.add_layer(Eigen::MatrixXf(0, 3)); },
                                       "a matrix with rows and columns", "0 x 3", "hidden_states, layer 0");
  batch.add_layer(Eigen::MatrixXf::Ones(4, 3));
  batch.add_layer(Eigen::MatrixXf::Ones(4, 3));
  check_throws<shape_error>([&] { batch.add_layer(Eigen::MatrixXf::Ones(3, 4)); }, "a matrix of 4 x 3", "3 x 4",
                            "hidden_states, layer 2");
  check_throws<degenerate_input_error>([&] { batch.add_layer(Eigen::MatrixXf(4, 0)); },
                                       "a matrix with rows and columns", "4 x 0", "hidden_states, layer 2");
  CHECK(batch.size() == 2);
  CHECK(batch[0] == Eigen::MatrixXd::Ones(4, 3));
  CHECK(batch[1] == Eigen::MatrixXd::Ones(4, 3));
  batch.clear();
  batch.add_layer(Eigen::MatrixXf::Ones(3, 4));  // the next batch may have another
  CHECK(batch.size() == 1);
  check_throws<shape_error>([&] { layerwise::profile(batch); }, "hidden states h_0 ... h_L of at least 2 layers", "1",
                            "hidden_states");
}

TEST_CASE("nothing is added of a batch of which one layer is not finite, unless the mask leaves that out") {
  std::mt19937_64 random(4);
  auto layers = make_layers(random, 60);
  stack_batch batch;
  layer_profiler profiler;
  fill(batch, layers);
  profiler.add(batch);
  const auto before = numbers(profiler.profile());

  layers[3](17, 5) = std::numeric_limits<double>::quiet_NaN();
  fill(batch, layers);
  check_throws<non_finite_error>([&] { profiler.add(batch); }, "finite values", "nan",
                                 "hidden_states, layer 3, row 17, column 5");
  CHECK(numbers(profiler.profile()) == before);
  const index lengths[] = {17};
  profiler.add(batch, token_mask::padding(lengths, 60));
  CHECK(profiler.tokens() == 77);
}

TEST_CASE("a batch of the shape of the last one allocates nothing") {
  std::mt19937_64 random(5);
  stack_batch batch;
  const auto addresses = [&] {
    std::vector<const double*> all;
    for (const auto& h : batch) all.push_back(h.data());
    return all;
  };
  fill(batch, make_layers(random, 40));
  const auto first = addresses();
  CHECK(first.size() == 5);
  for (int again = 0; again < 3; ++again) {
    const auto layers = make_layers(random, 40);
    fill(batch, layers);
    CHECK(addresses() == first);
    CHECK(batch[4] == layers[4]);
  }
  // One with fewer layers leaves nothing of the last one behind.
  batch.clear();
  batch.add_layer(row_major::Ones(40, 8));
  batch.add_layer(row_major::Zero(40, 8));
  CHECK(batch.size() == 2);
  CHECK(addresses() == std::vector(first.begin(), first.begin() + 2));
}

TEST_CASE("a layer may be computed from those before it; what was moved from is empty") {
  const row_major h = row_major::Random(5, 3), f = row_major::Random(3, 3);
  stack_batch batch;
  batch.add_layer(h);
  std::vector<row_major> expected{h};
  for (index l = 0; l < 20; ++l) {
    batch.add_layer(batch[l] + batch[l] * f);
    expected.push_back(expected.back() + expected.back() * f);
  }
  CHECK(batch.size() == 21);
  for (index l = 0; l < 21; ++l) CHECK((batch[l] - expected[static_cast<std::size_t>(l)]).norm() < 1e-9);
  const stack_batch taken = std::move(batch);
  CHECK(taken.size() == 21);
  CHECK(batch.size() == 0);
  CHECK(batch.begin() == batch.end());
  batch.add_layer(h);
  CHECK(batch.size() == 1);
}

}  // namespace
