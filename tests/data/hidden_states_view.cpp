#include <layerwise/data/hidden_states_view.hpp>

#include "support.hpp"

#include <layerwise/data/embedding.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <type_traits>
#include <variant>
#include <vector>

namespace {

using layerwise::hidden_states;
using layerwise::hidden_states_view;
using layerwise::index;
using layerwise::scalar_type;
using layerwise::shape_error;
using layerwise_test::check_throws;

static_assert(hidden_states<hidden_states_view<const float>> && hidden_states<hidden_states_view<double>>);
static_assert(layerwise::hidden_state_gradients<hidden_states_view<float>>);
static_assert(!layerwise::hidden_state_gradients<hidden_states_view<const float>>);

std::vector<float> counted(std::size_t size) {
  std::vector<float> data(size);
  for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<float>(i);
  return data;
}

TEST_CASE("a rank-3 array is hidden states in either order") {
  std::vector<float> data = counted(2 * 3 * 4);
  const auto layers = hidden_states_view<const float>::layer_major(data.data(), 2, 3, 4);
  CHECK(layers.size() == 2);
  CHECK(layers[1](2, 3) == 23);
  CHECK(layers[1](0, 0) == 12);
  const auto tokens = hidden_states_view<const float>::token_major(data.data(), 3, 2, 4);
  CHECK(tokens.size() == 2);
  CHECK(tokens[1].rows() == 3);
  CHECK(tokens[1](2, 3) == 23);
  CHECK(tokens[1](0, 0) == 4);
  CHECK(tokens[0](1, 0) == 8);
  index count = 0;
  for (const auto layer : tokens) CHECK(layer.data() == tokens[count++].data());
  CHECK(count == 2);

  // [dim][token][layer]
  const hidden_states_view<float> other(data.data(), 4, 3, 2, 1, 4, 12);
  CHECK(other[3](2, 1) == 23);
  other[3](2, 1) = -1;
  CHECK(data[23] == -1);
}

TEST_CASE("the layer axis of sizes and strides may be any") {
  const std::vector<float> data = counted(2 * 3 * 4);
  const std::array<index, 3> sizes{2, 3, 4}, strides{12, 4, 1};
  const hidden_states_view<const float> by_first(data.data(), sizes, strides, 0),
      by_second(data.data(), sizes, strides, 1), by_third(data.data(), sizes, strides, 2);
  CHECK(by_first.size() == 2);
  CHECK(by_second.size() == 3);
  CHECK(by_third.size() == 4);
  // Element (1, 2, 3), in a layer of tokens x dims.
  CHECK(by_first[1](2, 3) == 23);
  CHECK(by_second[2](1, 3) == 23);
  CHECK(by_third[3](1, 2) == 23);
  check_throws<shape_error>([&] { (void)hidden_states_view<const float>(data.data(), sizes, strides, 3); },
                            "a layer axis of 0, 1 or 2", "3", "hidden states");
}

TEST_CASE("layers of memory whose type is known when the program runs") {
  std::vector<float> data = counted(2 * 3 * 4);
  const auto layers =
      layerwise::make_layers(scalar_type::float32, static_cast<const void*>(data.data()), {2, 3, 4}, {12, 4, 1}, 1);
  static_assert(std::is_same_v<decltype(layers), const std::vector<layerwise::any_view>>);
  REQUIRE(layers.size() == 3);
  CHECK(std::get<layerwise::strided_view<const float>>(layers[2])(1, 3) == 23);
  const auto writable =
      layerwise::make_layers(scalar_type::float32, static_cast<void*>(data.data()), {2, 3, 4}, {12, 4, 1}, 0);
  std::get<layerwise::strided_view<float>>(writable[1])(2, 3) = -1;
  CHECK(data[23] == -1);
}

TEST_CASE("arrays of no sensible shape are refused") {
  float x[6] = {};
  check_throws<shape_error>([&] { (void)hidden_states_view<float>::layer_major(x, -2, 3, 4); }, "sizes >= 0",
                            "-2 x 3 x 4", "hidden_states_view");
  check_throws<shape_error>([&] { (void)hidden_states_view<float>(x, 2, 1, 3, 0, 3, 1); },
                            "a layer stride other than 0", "0", "hidden_states_view");
}

}  // namespace
