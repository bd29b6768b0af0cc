#include <layerwise/interop/xtensor.hpp>

#include "checks.hpp"

#include <doctest/doctest.h>

#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xstrided_view.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>

#include <array>
#include <utility>
#include <vector>

namespace {

using layerwise::embedding_matrix;
using layerwise::index;
using layerwise::layers_of;
using layerwise::shape_error;
using layerwise::writable_embedding_matrix;
using namespace layerwise_test;

static_assert(embedding_matrix<xt::xarray<double>> && embedding_matrix<xt::xtensor<float, 2>>);
static_assert(writable_embedding_matrix<xt::xarray<double>> && !writable_embedding_matrix<const xt::xarray<double>>);
static_assert(!embedding_matrix<xt::xarray<int>>);
static_assert(!embedding_matrix<decltype(std::declval<xt::xarray<double>&>() + 1.0)>);

template <class Scalar, xt::layout_type layout>
auto to_xtensor(const matrix_of<Scalar>& m) {
  xt::xtensor<Scalar, 2, layout> out(
      std::array<std::size_t, 2>{static_cast<std::size_t>(m.rows()), static_cast<std::size_t>(m.cols())});
  for (index i = 0; i < m.rows(); ++i)
    for (index j = 0; j < m.cols(); ++j) out(i, j) = m(i, j);
  return out;
}

TEST_CASE_TEMPLATE("xtensor's arrays and views are read where they are", Scalar, float, double) {
  const auto states = make_states<Scalar>(2, 30, 4);
  const auto x = to_xtensor<Scalar, xt::layout_type::row_major>(states[0]);
  const auto y = to_xtensor<Scalar, xt::layout_type::column_major>(states[1]);
  check_pair(x, y, states[0], states[1]);
  CHECK(address(x) == x.data());
  const xt::xarray<Scalar> dynamic = x;
  check_pair(dynamic, y, states[0], states[1]);

  xt::xarray<Scalar> frame = xt::xarray<Scalar>::from_shape({70, 9});
  frame.fill(padding<Scalar>());
  auto part = xt::view(frame, xt::range(3, 63, 2), xt::range(2, 6));
  part = x;
  CHECK(address(part) == &frame(3, 2));
  check_pair(part, y, states[0], states[1]);
  auto backwards = xt::strided_view(frame, {xt::range(61, 2, -2), xt::range(2, 6)});
  CHECK(elements(backwards) == row_major(states[0].template cast<double>().colwise().reverse()));
  const auto turned = xt::transpose(x);
  CHECK(elements(turned) == row_major(states[0].template cast<double>().transpose()));
  // Strides are 0 along an axis of one element.
  CHECK(elements(xt::xarray<Scalar>(xt::view(x, xt::range(0, 1), xt::all()))) ==
        states[0].template cast<double>().topRows(1));

  std::vector<Scalar> memory(states[0].data(), states[0].data() + states[0].size());
  const auto adapted = xt::adapt(memory, std::vector<std::size_t>{30, 4});
  CHECK(address(adapted) == memory.data());
  check_pair(adapted, y, states[0], states[1]);
}

TEST_CASE("xtensors are hidden states, to read and to write; of rank 3, by any axis") {
  const auto states = make_states<float>(3, 30, 4);
  std::vector<xt::xtensor<float, 2>> layers, gradients;
  for (const auto& h : states) {
    layers.push_back(to_xtensor<float, xt::layout_type::row_major>(h));
    gradients.push_back(xt::zeros<float>({30, 4}));
  }
  check_states(layers, states);
  check_gradients(layers, gradients, states);
  for (const std::size_t axis : {0u, 1u, 2u}) {
    CAPTURE(axis);
    std::vector<std::size_t> sizes{30, 4};
    sizes.insert(sizes.begin() + static_cast<std::ptrdiff_t>(axis), 3);
    xt::xarray<float> all = xt::xarray<float>::from_shape(sizes), gradient = xt::zeros<float>(sizes);
    for (std::size_t l = 0; l < 3; ++l)
      for (std::size_t i = 0; i < 30; ++i)
        for (std::size_t j = 0; j < 4; ++j)
          (axis == 0 ? all(l, i, j) : axis == 1 ? all(i, l, j) : all(i, j, l)) = layers[l](i, j);
    check_states(layers_of(std::as_const(all), axis), states);
    auto written = layers_of(gradient, axis);
    check_gradients(layers_of(all, axis), written, states);
  }
}

TEST_CASE("another rank is refused") {
  const xt::xarray<double> vector = xt::ones<double>({10}), cube = xt::ones<double>({3, 3, 3});
  check_throws<shape_error>([&] { layerwise::linearity_score(vector, vector); }, "an xtensor of rank 2", "rank 1",
                            "xtensor");
  check_throws<shape_error>([&] { layerwise::linearity_score(cube, cube); }, "an xtensor of rank 2", "rank 3",
                            "xtensor");
  check_throws<shape_error>([&] { layers_of(vector); }, "an xtensor of rank 3", "rank 1", "xtensor");
}

}  // namespace
