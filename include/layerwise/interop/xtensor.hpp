// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/interop/detail/tensor_layout.hpp>

#include <xtensor/xexpression.hpp>
#include <xtensor/xutils.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

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

/// xtensor's strides are 0 along an axis of size 1. Throws shape_error for another rank.
template <std::size_t rank, class M>
tensor_axes<rank> xtensor_axes(const M& m) {
  if (m.dimension() != rank)
    fail<shape_error>(text("an xtensor of rank ", rank), text("rank ", m.dimension()), {.operand = "xtensor"});
  return axes_of<rank>([&](std::size_t axis) { return std::pair(m.shape()[axis], m.strides()[axis]); });
}

template <class M>
strided_view<xtensor_element<M>> xtensor_view(M& m) {
  const auto [sizes, strides] = xtensor_axes<2>(m);
  return {m.data() + m.data_offset(), sizes[0], sizes[1], strides[0], strides[1]};
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
  const auto [sizes, strides] = detail::xtensor_axes<3>(m);
  return {m.data() + m.data_offset(), sizes, strides, layer_axis};
}

}  // namespace layerwise::inline LAYERWISE_ABI
