// What every library's matrices are held to: the numbers of an Eigen matrix of the same elements to the last
// bit, from the memory that they are in.
#pragma once

#include "../support.hpp"

#include <layerwise/layerwise.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <limits>
#include <random>
#include <string>
#include <variant>
#include <vector>

namespace layerwise_test {

template <class Scalar>
using matrix_of = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Layers with something of everything: a linear part, noise, and another length for every row.
template <class Scalar>
std::vector<matrix_of<Scalar>> make_states(layerwise::index layers, layerwise::index tokens, layerwise::index dims) {
  std::mt19937_64 random(7);
  std::vector<matrix_of<Scalar>> states;
  row_major h = random_matrix(random, tokens, dims);
  for (layerwise::index l = 0; l < layers; ++l) {
    states.push_back(h.template cast<Scalar>());
    h += h * random_matrix(random, dims, dims) * 0.2 + 0.3 * random_matrix(random, tokens, dims);
  }
  return states;
}

/// The memory a matrix is read from; null of what is read by rows.
template <class M>
const void* address(const M& m) {
  const auto view = layerwise::detail::view_of(m);
  if constexpr (requires { view.data(); })
    return view.data();
  else
    return std::visit(
        [](const auto& v) -> const void* {
          if constexpr (requires { v.data(); })
            return v.data();
          else
            return nullptr;
        },
        view);
}

/// The elements as the library reads them.
template <class M>
row_major elements(const M& m) {
  const layerwise::detail::row_reader<M> reader(m);
  row_major out(reader.rows(), reader.cols());
  for (layerwise::index i = 0; i < out.rows(); ++i) reader.read(i, &out(i, 0));
  return out;
}

/// Two matrices hold what x and y hold.
template <class Before, class After, class X, class Y>
void check_pair(const Before& before, const After& after, const X& x, const Y& y) {
  CHECK(elements(before) == x.template cast<double>());
  CHECK(elements(after) == y.template cast<double>());
  CHECK(layerwise::linearity_score(before, after) == layerwise::linearity_score(x, y));
  CHECK(layerwise::residual_linearity_score(before, after) == layerwise::residual_linearity_score(x, y));
  CHECK(layerwise::displacement(before, after) == layerwise::displacement(x, y));
  CHECK(layerwise::contribution_ratio(before, after) == layerwise::contribution_ratio(x, y));
  const layerwise::linear_map map = layerwise::fit_linear_map(before, after);
  CHECK(map(before) == layerwise::fit_linear_map(x, y)(x));
}

/// A range of layers holds what `expected` holds.
template <class States, class Scalar>
void check_states(const States& states, const std::vector<matrix_of<Scalar>>& expected) {
  const layerwise::layer_profile got = layerwise::profile(states), want = layerwise::profile(expected);
  REQUIRE(got.layers.size() == want.layers.size());
  for (std::size_t l = 0; l < got.layers.size(); ++l) {
    CAPTURE(l);
    CHECK(got.layers[l].linearity->score == want.layers[l].linearity->score);
    CHECK(got.layers[l].displacement == want.layers[l].displacement);
    CHECK(got.layers[l].contribution_ratio == want.layers[l].contribution_ratio);
  }
  const layerwise::jreg_regularizer jreg{.lambda = 1.0, .alpha = 0.5};
  CHECK(jreg.value(states) == jreg.value(expected));
}

/// Gradients of `states` are added to `gradients`, which are zero, as they are to Eigen's.
template <class States, class Gradients, class Scalar>
void check_gradients(const States& states, Gradients& gradients, const std::vector<matrix_of<Scalar>>& expected) {
  std::vector<matrix_of<Scalar>> want;
  for (const auto& h : expected) want.push_back(matrix_of<Scalar>::Zero(h.rows(), h.cols()));
  const layerwise::cosine_regularizer cosine{.lambda = 3.0};
  CHECK(cosine.value_and_gradient(states, gradients) == cosine.value_and_gradient(expected, want));
  std::size_t l = 0;
  for (const auto& gradient : gradients) {
    CAPTURE(l);
    CHECK(elements(gradient) == want[l].template cast<double>());
    CHECK(elements(gradient).norm() > 0);
    ++l;
  }
  CHECK(l == want.size());
}

/// What fills memory that is no part of a matrix: read, it would show.
template <class Scalar>
Scalar padding() {
  return static_cast<Scalar>(std::numeric_limits<float>::quiet_NaN());
}

}  // namespace layerwise_test
