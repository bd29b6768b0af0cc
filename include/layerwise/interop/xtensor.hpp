// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/embedding.hpp>

#include <xtensor/xexpression.hpp>
#include <xtensor/xutils.hpp>

#include <array>
#include <cstddef>
#include <type_traits>

/// @file
/// Containers, adaptors and strided views of xtensor, of float and double: rank 2 is an embedding
/// matrix, rank 3 hidden states. Lazy expressions are not: evaluate them first, into an xtensor that
/// lives as long as it is used.
namespace layerwise::inline LAYERWISE_ABI {
namespace detail {

/// An expression with memory and strides behind it.
template <class M>
concept xtensor_with_strides = xt::is_xexpression<M>::value && requires(const M& m) {
  requires embedding_scalar<typename M::value_type>;
  { *m.data() } -> std::convertible_to<typename M::value_type>;
  { m.data_offset() } -> std::convertible_to<std::size_t>;
  { m.dimension() } -> std::convertible_to<std::size_t>;
  m.shape()[0];
  m.strides()[0];
};

/// What *m.data() refers to, and may be written if m may.
template <class M>
using xtensor_element = std::remove_pointer_t<decltype(std::declval<M&>().data())>;

/// Strides in elements; xtensor's are 0 along an axis of size 1. Throws shape_error for another rank.
template <std::size_t rank>
struct xtensor_layout {
  std::array<index, rank> sizes, strides;

  template <class M>
  explicit xtensor_layout(const M& m) {
    if (m.dimension() != rank)
      fail<shape_error>(text("an xtensor of rank ", rank), text("rank ", m.dimension()), {.operand = "xtensor"});
    for (std::size_t axis = 0; axis < rank; ++axis) {
      sizes[axis] = static_cast<index>(m.shape()[axis]);
      strides[axis] = static_cast<index>(m.strides()[axis]);
    }
  }
};

template <class M>
strided_view<xtensor_element<M>> xtensor_view(M& m) {
  const xtensor_layout<2> layout(m);
  return {m.data() + m.data_offset(), layout.sizes[0], layout.sizes[1], layout.strides[0], layout.strides[1]};
}

}  // namespace detail

/// Rank 2: n_tokens x d. Throws shape_error for another rank.
template <detail::xtensor_with_strides M>
struct embedding_traits<M> {
  static auto view(const M& m) { return detail::xtensor_view(m); }
  static auto view(M& m) { return detail::xtensor_view(m); }
};

/// Rank 3: hidden states, without a copy. Axis `layer_axis` counts layers; of the other two the first counts
/// tokens. Throws shape_error for another rank or axis.
template <class M>
requires detail::xtensor_with_strides<std::remove_const_t<M>>
hidden_states_view<detail::xtensor_element<M>> layers_of(M& m, std::size_t layer_axis = 0) {
  const detail::xtensor_layout<3> layout(m);
  return {m.data() + m.data_offset(), layout.sizes, layout.strides, layer_axis};
}

}  // namespace layerwise::inline LAYERWISE_ABI
