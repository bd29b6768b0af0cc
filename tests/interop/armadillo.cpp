#include <layerwise/interop/armadillo.hpp>

#include "checks.hpp"

#include <doctest/doctest.h>

#include <armadillo>

#include <type_traits>
#include <utility>
#include <vector>

namespace {

using layerwise::embedding_matrix;
using layerwise::index;
using layerwise::layers_of;
using layerwise::shape_error;
using layerwise::writable_embedding_matrix;
using namespace layerwise_test;

static_assert(embedding_matrix<arma::mat> && embedding_matrix<arma::fmat> && embedding_matrix<arma::vec>);
static_assert(embedding_matrix<arma::mat::fixed<3, 4>>);
static_assert(embedding_matrix<arma::subview<double>> && embedding_matrix<arma::subview_col<float>>);
static_assert(writable_embedding_matrix<arma::mat> && !writable_embedding_matrix<const arma::mat>);
static_assert(!embedding_matrix<arma::imat> && !embedding_matrix<arma::cx_mat>);
static_assert(!embedding_matrix<decltype(arma::mat() + arma::mat())>);
template <class Cube>
concept has_layers = requires(Cube&& cube) { layers_of(std::forward<Cube>(cube)); };
static_assert(has_layers<arma::cube&> && has_layers<const arma::fcube&> && has_layers<arma::cube::fixed<2, 3, 4>&>);
static_assert(!has_layers<arma::cube> && !has_layers<arma::icube&>);  // not of a temporary, whose memory is gone
static_assert(!layerwise::detail::is_view<arma::mat> && layerwise::detail::is_view<arma::subview<double>>);

template <class Scalar>
arma::Mat<Scalar> to_arma(const matrix_of<Scalar>& m) {
  arma::Mat<Scalar> out(static_cast<arma::uword>(m.rows()), static_cast<arma::uword>(m.cols()));
  for (index j = 0; j < m.cols(); ++j)
    for (index i = 0; i < m.rows(); ++i) out(static_cast<arma::uword>(i), static_cast<arma::uword>(j)) = m(i, j);
  return out;
}

TEST_CASE_TEMPLATE("Armadillo's matrices and submatrices are read where they are", Scalar, float, double) {
  const auto states = make_states<Scalar>(2, 40, 5);
  const arma::Mat<Scalar> x = to_arma(states[0]), y = to_arma(states[1]);
  check_pair(x, y, states[0], states[1]);
  CHECK(address(x) == x.memptr());

  arma::Mat<Scalar> frame(47, 9);
  frame.fill(padding<Scalar>());
  frame.submat(3, 2, 42, 6) = x;
  const auto part = frame.submat(3, 2, 42, 6);
  CHECK(address(part) == &frame(3, 2));
  check_pair(part, y, states[0], states[1]);
  check_pair(frame.submat(3, 2, 42, 6), y, states[0], states[1]);  // a temporary view, used at once
  check_pair(x.rows(4, 33), y.rows(4, 33), matrix_of<Scalar>(states[0].middleRows(4, 30)),
             matrix_of<Scalar>(states[1].middleRows(4, 30)));
  check_pair(x.cols(1, 3), y.cols(1, 3), matrix_of<Scalar>(states[0].middleCols(1, 3)),
             matrix_of<Scalar>(states[1].middleCols(1, 3)));
}

TEST_CASE_TEMPLATE("Armadillo's matrices and cubes are hidden states, to read and to write", Scalar, float, double) {
  const auto states = make_states<Scalar>(3, 40, 5);
  std::vector<arma::Mat<Scalar>> layers;
  for (const auto& h : states) layers.push_back(to_arma(h));
  check_states(layers, states);
  std::vector<arma::Mat<Scalar>> gradients(3, arma::Mat<Scalar>(40, 5, arma::fill::zeros));
  check_gradients(layers, gradients, states);

  arma::Cube<Scalar> by_slice(40, 5, 3), by_column(40, 3, 5), by_row(3, 40, 5);
  for (arma::uword l = 0; l < 3; ++l) {
    by_slice.slice(l) = layers[l];
    by_column.col(l) = layers[l];
    by_row.row(l) = layers[l];
  }
  check_states(layers_of(by_slice), states);
  check_states(layers_of(by_column, 1), states);
  check_states(layers_of(by_row, 0), states);
  CHECK(address(*++layers_of(by_slice).begin()) == by_slice.slice_memptr(1));
  arma::Cube<Scalar> gradient(40, 5, 3, arma::fill::zeros);
  auto written = layers_of(gradient);
  check_gradients(layers_of(by_slice), written, states);
  check_throws<shape_error>([&] { layers_of(by_slice, 3); }, "a layer axis of 0, 1 or 2", "3", "hidden states");
}

TEST_CASE("empty Armadillo matrices are empty") {
  check_throws<layerwise::degenerate_input_error>([] { layerwise::linearity_score(arma::mat(), arma::mat()); },
                                                  "a matrix with rows and columns", "0 x 0", "X");
}

}  // namespace
