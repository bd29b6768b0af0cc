#include <layerwise/data/strided_view.hpp>

#include "interop/checks.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace {

using layerwise::any_view;
using layerwise::any_writable_view;
using layerwise::hidden_states_view;
using layerwise::index;
using layerwise::scalar_type;
using layerwise::shape_error;
using layerwise::strided_view;
using namespace layerwise_test;

static_assert(layerwise::embedding_matrix<any_view> && !layerwise::writable_embedding_matrix<any_view>);
static_assert(layerwise::writable_embedding_matrix<any_writable_view>);
static_assert(layerwise::hidden_states<std::vector<any_view>>);
static_assert(layerwise::hidden_state_gradients<std::vector<any_writable_view>>);

TEST_CASE("a span, a vector and an array are viewed within their bounds") {
  const std::vector<float> memory{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  const strided_view<const float> rows(memory, 3, 4);
  CHECK(rows(2, 3) == 11);
  CHECK(rows.data() == memory.data());
  CHECK(strided_view<const float>(memory, 4, 3, 1, 4)(3, 2) == 11);
  CHECK(strided_view<const float>(std::span(memory).subspan(1), 2, 3, 7)(1, 2) == 10);
  std::array<double, 2> two{1, 2};
  const strided_view<double> column(two, 2, 1);
  column(1, 0) = 5;
  CHECK(two[1] == 5);
  CHECK(strided_view<const float>(memory, 0, 100).rows() == 0);

  const auto view = [&](index r, index c, index row_stride, index col_stride) {
    return strided_view<const float>(memory, r, c, row_stride, col_stride);
  };
  CHECK_NOTHROW(view(1, 12, 1'000'000, 1));  // the stride of one row is never taken
  CHECK_NOTHROW(view(2, 2, 10, 1));
  const auto check_too_short = [&](index r, index c, index row_stride, index col_stride, const std::string& expected) {
    check_throws<shape_error>([&] { view(r, c, row_stride, col_stride); }, expected, "12", "strided_view");
  };
  check_too_short(2, 3, 10, 1, "elements for 2 x 3 with strides 10 and 1");
  check_too_short(3, 5, 5, 1, "elements for 3 x 5 with strides 5 and 1");
  check_too_short(4, 3, 1, 5, "elements for 4 x 3 with strides 1 and 5");
  constexpr index most = std::numeric_limits<index>::max();
  check_too_short(3, 3, most, most,
                  "elements for 3 x 3 with strides " + std::to_string(most) + " and " + std::to_string(most));
  check_throws<shape_error>([&] { view(3, 4, -4, 1); }, "strides > 0, from the first element on", "-4 and 1",
                            "strided_view");
  check_throws<shape_error>([&] { view(3, 4, 4, -1); }, "strides > 0, from the first element on", "4 and -1",
                            "strided_view");
  check_throws<shape_error>([&] { strided_view<const float>(std::span<const float>(), 1, 1); }, "memory of 1 x 1",
                            "a null pointer", "strided_view");
}

template <class Scalar>
constexpr scalar_type type_of = std::is_same_v<Scalar, double>        ? scalar_type::float64
                                : std::is_same_v<Scalar, float>       ? scalar_type::float32
                                : std::is_same_v<Scalar, Eigen::half> ? scalar_type::float16
                                                                      : scalar_type::bfloat16;

TEST_CASE_TEMPLATE("a scalar type named when the program runs gives the same numbers", Scalar, double, float,
                   Eigen::half, Eigen::bfloat16) {
  const auto states = make_states<Scalar>(3, 40, 21);  // 21: rows end in the middle of what is read at once
  std::vector<any_view> views;
  std::vector<matrix_of<Scalar>> gradients;
  std::vector<any_writable_view> written;
  for (const auto& h : states) {
    views.push_back(layerwise::make_view(type_of<Scalar>, static_cast<const void*>(h.data()), 40, 21, 21, 1));
    gradients.push_back(matrix_of<Scalar>::Zero(40, 21));
  }
  for (auto& g : gradients)
    written.push_back(layerwise::make_view(type_of<Scalar>, static_cast<void*>(g.data()), 40, 21, 21, 1));
  check_pair(views[0], views[1], states[0], states[1]);
  check_pair(views[0], states[1], states[0], states[1]);
  CHECK(elements(written[0]) == elements(gradients[0]));
  check_states(views, states);
  check_gradients(views, written, states);

  const matrix_of<Scalar> turned = states[0].transpose();
  const any_view by_column =
      layerwise::make_view(type_of<Scalar>, static_cast<const void*>(turned.data()), 40, 21, 1, 40);
  check_pair(by_column, views[1], states[0], states[1]);
}

TEST_CASE("layers of different scalar types and layouts go together") {
  const auto states = make_states<double>(4, 30, 6);
  const matrix_of<float> h0 = states[0].cast<float>();
  const Eigen::MatrixXd h1 = states[1];
  const Eigen::Matrix<Eigen::half, Eigen::Dynamic, Eigen::Dynamic> h2 = states[2].cast<Eigen::half>();
  const matrix_of<Eigen::bfloat16> h3 = states[3].cast<Eigen::bfloat16>();
  const std::vector<any_view> views{
      strided_view<const float>(h0.data(), 30, 6), strided_view<const double>(h1.data(), 30, 6, 1, 30),
      strided_view<const Eigen::half>(h2.data(), 30, 6, 1, 30), strided_view<const Eigen::bfloat16>(h3.data(), 30, 6)};
  check_states(views, std::vector<matrix_of<double>>{h0.cast<double>(), h1, h2.cast<double>(), h3.cast<double>()});
}

TEST_CASE("a rank-3 array is hidden states by any of its axes") {
  const auto states = make_states<float>(3, 30, 4);
  const std::array<std::array<index, 3>, 3> sizes{{{3, 30, 4}, {30, 3, 4}, {30, 4, 3}}};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    CAPTURE(axis);
    std::vector<float> memory(360);
    const std::array<index, 3> strides{sizes[axis][1] * sizes[axis][2], sizes[axis][2], 1};
    const hidden_states_view<float> all(memory.data(), sizes[axis], strides, axis);
    REQUIRE(all.size() == 3);
    for (index l = 0; l < 3; ++l)
      for (index i = 0; i < 30; ++i)
        for (index j = 0; j < 4; ++j) all[l](i, j) = states[static_cast<std::size_t>(l)](i, j);
    check_states(all, states);
    const auto layers = layerwise::make_layers(scalar_type::float32, static_cast<const void*>(memory.data()),
                                               sizes[axis], strides, axis);
    check_states(layers, states);
  }
  check_throws<shape_error>([] { hidden_states_view<float>(nullptr, {0, 0, 0}, {1, 1, 1}, 3); },
                            "a layer axis of 0, 1 or 2", "3", "hidden states");
}

template <class T, class... Arguments>
concept viewable = requires(Arguments&&... arguments) { strided_view<T>(std::forward<Arguments>(arguments)..., 2, 3); };
static_assert(viewable<const double, std::vector<double>&> && viewable<const double, std::span<double>>);
static_assert(!viewable<const double, std::vector<double>>);  // gone before it is read

TEST_CASE("memory that is not aligned to its elements is refused") {
  alignas(8) std::array<std::byte, 100> memory{};
  for (const auto& element : std::vector<std::pair<scalar_type, int>>{{scalar_type::float64, 8},
                                                                      {scalar_type::float32, 4},
                                                                      {scalar_type::float16, 2},
                                                                      {scalar_type::bfloat16, 2}}) {
    const auto [type, size] = element;
    const auto view_at = [&, of = type](int offset) {
      return layerwise::make_view(of, static_cast<const void*>(memory.data() + offset), 2, 2, 2, 1);
    };
    CHECK_NOTHROW(view_at(size));
    check_throws<layerwise::unsupported_error>([&, half = size / 2] { view_at(half); },
                                               "an address that is a multiple of " + std::to_string(size),
                                               "one that is not", "memory of a matrix");
  }
}

TEST_CASE("rank 3 without an element has its layers, wherever it is") {
  for (const auto type : {scalar_type::float64, scalar_type::bfloat16}) {
    const auto layers = layerwise::make_layers(type, static_cast<const void*>(nullptr), {3, 0, 6}, {0, 6, 1}, 0);
    REQUIRE(layers.size() == 3);
    std::visit([](const auto& layer) { CHECK((layer.rows() == 0 && layer.cols() == 6)); }, layers[2]);
  }
}

}  // namespace
