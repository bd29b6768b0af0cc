// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/embedding.hpp>
#include <layerwise/data/hidden_states_view.hpp>

#include <armadillo>

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

/// @file
/// Armadillo's matrices, vectors and submatrices of float and double are embedding matrices, n_rows
/// tokens; a cube is hidden states. Expressions are not: evaluate them first, into a Mat that lives as
/// long as it is used.
namespace layerwise::inline LAYERWISE_ABI {
namespace detail {

template <class M>
concept arma_elements = requires { requires embedding_scalar<typename M::elem_type>; };

template <class M>
concept arma_matrix = arma_elements<M> && std::derived_from<M, arma::Mat<typename M::elem_type>>;

template <class M>
concept arma_submatrix = arma_elements<M> && std::derived_from<M, arma::subview<typename M::elem_type>>;

template <class C>
concept arma_cube = arma_elements<C> && std::derived_from<C, arma::Cube<typename C::elem_type>>;

/// What a cube's memory holds, const if the cube is.
template <class Cube>
using arma_element = std::remove_pointer_t<decltype(std::declval<Cube&>().memptr())>;

template <class T, class Matrix>
strided_view<T> arma_view(T* data, const Matrix& m, arma::uword column_stride) {
  return {data, static_cast<index>(m.n_rows), static_cast<index>(m.n_cols), 1, static_cast<index>(column_stride)};
}

}  // namespace detail

/// arma::Mat, Col and Row: n_rows tokens, column-major.
template <detail::arma_matrix M>
struct embedding_traits<M> {
  static auto view(const M& m) { return detail::arma_view(m.memptr(), m, m.n_rows); }
  static auto view(M& m) { return detail::arma_view(m.memptr(), m, m.n_rows); }
};

/// X.rows(a, b), X.cols(a, b), X.submat(...), X.col(j), X.row(i): views of X, which must live on. One that is
/// not const may be written to, also where it is a part of a matrix that is.
template <detail::arma_submatrix M>
struct embedding_traits<M> {
  static constexpr bool is_view = true;
  static auto view(const M& m) { return detail::arma_view(m.colptr(0), m, m.m.n_rows); }
  static auto view(M& m) { return detail::arma_view(m.colptr(0), m, m.m.n_rows); }
};

/// A cube as hidden states, without a copy. Axis `layer_axis` (0 rows, 1 columns, 2 slices) counts layers; of
/// the other two the first counts tokens. By default each slice is a layer, n_rows tokens x n_cols
/// dimensions. A cube that is not const may be written to. Throws shape_error for another axis.
template <class Cube>
requires detail::arma_cube<std::remove_const_t<Cube>>
hidden_states_view<detail::arma_element<Cube>> layers_of(Cube& cube, std::size_t layer_axis = 2) {
  const auto size = [](arma::uword n) { return static_cast<index>(n); };
  return {cube.memptr(),
          {size(cube.n_rows), size(cube.n_cols), size(cube.n_slices)},
          {1, size(cube.n_rows), size(cube.n_elem_slice)},
          layer_axis};
}

}  // namespace layerwise::inline LAYERWISE_ABI
