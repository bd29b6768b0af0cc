#include <layerwise/interop/mdspan.hpp>

#include "checks.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <type_traits>
#include <vector>
#include <version>

#ifdef __cpp_lib_mdspan
#include <mdspan>
#endif

namespace {

using layerwise::embedding_matrix;
using layerwise::index;
using layerwise::layers_of;
using layerwise::unsupported_error;
using layerwise::writable_embedding_matrix;
using namespace layerwise_test;

/// Not std::mdspan, but of its shape.
template <class T, std::size_t rank_of, class Reference = T&>
struct span_like {
  using element_type = T;
  using reference = Reference;
  using layout_type = struct strided;

  T* memory;
  std::array<int, rank_of> sizes, steps;
  bool has_strides = true;

  static constexpr std::size_t rank() { return rank_of; }
  int extent(std::size_t axis) const { return sizes[axis]; }
  int stride(std::size_t axis) const { return steps[axis]; }
  bool is_strided() const { return has_strides; }
  T* data_handle() const { return memory; }
};

static_assert(embedding_matrix<span_like<const float, 2>>);
static_assert(writable_embedding_matrix<const span_like<float, 2>>);
static_assert(!writable_embedding_matrix<span_like<const float, 2>>);
static_assert(!embedding_matrix<span_like<float, 1>> && !embedding_matrix<span_like<float, 3>>);
static_assert(!embedding_matrix<span_like<int, 2>>);
// An accessor that computes: what is in memory is not what it stands for.
static_assert(!embedding_matrix<span_like<const float, 2, float>>);

TEST_CASE_TEMPLATE("what has the shape of mdspan is read where it is", Scalar, double, float, Eigen::half,
                   Eigen::bfloat16) {
  const auto states = make_states<Scalar>(2, 30, 4);
  const span_like<const Scalar, 2> x{states[0].data(), {30, 4}, {4, 1}}, y{states[1].data(), {30, 4}, {4, 1}};
  check_pair(x, y, states[0], states[1]);
  CHECK(address(x) == states[0].data());
  std::vector<Scalar> memory(400, padding<Scalar>());
  for (index i = 0; i < 30; ++i)
    for (index j = 0; j < 4; ++j) memory[static_cast<std::size_t>(5 + 3 * i + 95 * j)] = states[0](i, j);
  check_pair(span_like<Scalar, 2>{memory.data() + 5, {30, 4}, {3, 95}}, y, states[0], states[1]);
}

TEST_CASE("of rank 3 it is hidden states, by any axis, to read and to write") {
  const auto states = make_states<float>(3, 30, 4);
  const std::array<std::array<int, 3>, 3> sizes{{{3, 30, 4}, {30, 3, 4}, {30, 4, 3}}};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    CAPTURE(axis);
    const auto& size = sizes[axis];
    std::vector<float> memory(360), zeros(360);
    const std::array<int, 3> steps{size[1] * size[2], size[2], 1};
    const span_like<float, 3> all{memory.data(), size, steps}, gradient{zeros.data(), size, steps};
    auto written = layers_of(all, axis);
    std::size_t l = 0;
    for (const auto& layer : written) {
      for (index i = 0; i < 30; ++i)
        for (index j = 0; j < 4; ++j) layer(i, j) = states[l](i, j);
      ++l;
    }
    check_states(layers_of(span_like<const float, 3>{memory.data(), size, steps}, axis), states);
    auto gradients = layers_of(gradient, axis);
    check_gradients(written, gradients, states);
  }
}

TEST_CASE("a layout that turns out to have no strides is refused") {
  float memory[6] = {};
  const span_like<float, 2> matrix{memory, {3, 2}, {2, 1}, false};
  check_throws<unsupported_error>([&] { layerwise::linearity_score(matrix, matrix); }, "a layout with strides",
                                  "one that has none", "mdspan");
  const span_like<float, 3> stack{memory, {3, 2, 1}, {2, 1, 1}, false};
  check_throws<unsupported_error>([&] { layers_of(stack); }, "a layout with strides", "one that has none", "mdspan");
}

#ifdef __cpp_lib_mdspan
template <class T>
using dynamic = std::mdspan<T, std::dextents<int, 2>>;
static_assert(embedding_matrix<dynamic<const float>> && !writable_embedding_matrix<dynamic<const float>>);
static_assert(embedding_matrix<std::mdspan<float, std::extents<std::size_t, 3, 4>>>);
static_assert(writable_embedding_matrix<dynamic<float>>);
static_assert(!embedding_matrix<std::mdspan<float, std::dextents<int, 3>>>);

TEST_CASE_TEMPLATE("std::mdspan is read where it is, in every layout", Scalar, double, float, Eigen::half,
                   Eigen::bfloat16) {
  const auto states = make_states<Scalar>(2, 30, 4);
  const Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic> by_column = states[0];
  const dynamic<const Scalar> x(states[0].data(), 30, 4), y(states[1].data(), 30, 4);
  check_pair(x, y, states[0], states[1]);
  CHECK(address(x) == states[0].data());
  check_pair(std::mdspan<const Scalar, std::extents<int, 30, 4>, std::layout_left>(by_column.data()), y, states[0],
             states[1]);
  std::vector<Scalar> memory(400, padding<Scalar>());
  for (index i = 0; i < 30; ++i)
    for (index j = 0; j < 4; ++j) memory[static_cast<std::size_t>(3 * i + 95 * j)] = states[0](i, j);
  const std::layout_stride::mapping<std::dextents<int, 2>> layout(std::dextents<int, 2>(30, 4), std::array{3, 95});
  check_pair(std::mdspan<Scalar, std::dextents<int, 2>, std::layout_stride>(memory.data(), layout), y, states[0],
             states[1]);
}

TEST_CASE("std::mdspan of rank 3 is hidden states") {
  const auto states = make_states<float>(3, 30, 4);
  std::vector<float> memory(360), zeros(360);
  const std::mdspan<float, std::dextents<int, 3>> by_layer(memory.data(), 3, 30, 4);
  const std::mdspan<float, std::dextents<int, 3>, std::layout_left> gradient(zeros.data(), 30, 3, 4);
  for (int l = 0; l < 3; ++l)
    for (int i = 0; i < 30; ++i)
      for (int j = 0; j < 4; ++j) by_layer[l, i, j] = states[static_cast<std::size_t>(l)](i, j);
  check_states(layers_of(by_layer), states);
  auto written = layers_of(gradient, 1);
  check_gradients(layers_of(by_layer), written, states);
}
#endif

/// Rows from the last one to the first: element (0, 0) is not where the memory begins.
struct upside_down : span_like<const double, 2> {
  struct last_row_first {
    const upside_down* of;
    int operator()(int i, int j) const { return (of->sizes[0] - 1 - i) * of->sizes[1] + j; }
  };
  last_row_first mapping() const { return {this}; }
  int stride(std::size_t axis) const { return axis == 0 ? -sizes[1] : 1; }
};

TEST_CASE("a layout may have its first element anywhere") {
  const auto states = make_states<double>(2, 30, 4);
  const row_major x = states[0].colwise().reverse(), y = states[1].colwise().reverse();
  const auto over = [](const row_major& m) {
    return upside_down{{m.data(), {static_cast<int>(m.rows()), static_cast<int>(m.cols())}, {}}};
  };
  check_pair(over(x), over(y), states[0], states[1]);
}

}  // namespace
