// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/interop/detail/tensor_layout.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

/// @file
/// Views: std::mdspan, Kokkos' mdspan, and whatever has their shape, are embedding matrices at rank 2
/// and hidden states at rank 3. Nothing is included for it: a type takes part by its members. Elements
/// may be const; any layout that has strides.
namespace layerwise::inline LAYERWISE_ABI {
namespace detail {

/// A view of plain memory through a strided layout. An accessor that computes its elements has another
/// `reference`.
template <class M>
concept mdspan_like = requires(const M& m) {
  typename M::layout_type;
  requires embedding_scalar<std::remove_const_t<typename M::element_type>>;
  requires std::same_as<typename M::reference, typename M::element_type&>;
  { m.data_handle() } -> std::convertible_to<typename M::element_type*>;
  { M::rank() } -> std::convertible_to<std::size_t>;
  { m.extent(0) } -> std::convertible_to<index>;
  { m.stride(0) } -> std::convertible_to<index>;
  { m.is_strided() } -> std::same_as<bool>;
};

/// Throws unsupported_error for a layout without strides, whatever its type allows.
template <mdspan_like M>
void require_strides(const M& m) {
  if (!m.is_strided()) fail<unsupported_error>("a layout with strides", "one that has none", {.operand = "mdspan"});
}

template <mdspan_like M>
auto mdspan_axes(const M& m) {
  return axes_of<M::rank()>([&](std::size_t axis) { return std::pair(m.extent(axis), m.stride(axis)); });
}

/// Where element (0, ..., 0) is; a layout may have it anywhere.
template <mdspan_like M>
typename M::element_type* first_element(const M& m) {
  typename M::element_type* const data = m.data_handle();
  for (std::size_t axis = 0; axis < M::rank(); ++axis)
    if (m.extent(axis) == 0) return data;
  if constexpr (M::rank() == 2 && requires { m.mapping()(0, 0); })
    return data + m.mapping()(0, 0);
  else if constexpr (M::rank() == 3 && requires { m.mapping()(0, 0, 0); })
    return data + m.mapping()(0, 0, 0);
  else
    return data;
}

}  // namespace detail

/// Rank 2: n_tokens x d. Elements may be const; any layout that has strides. Throws unsupported_error where
/// it turns out to have none.
template <detail::mdspan_like M>
requires(M::rank() == 2)
struct embedding_traits<M> {
  static constexpr bool is_view = true;
  static strided_view<typename M::element_type> view(const M& m) {
    detail::require_strides(m);
    const auto [sizes, strides] = detail::mdspan_axes(m);
    return {detail::first_element(m), sizes[0], sizes[1], strides[0], strides[1]};
  }
};

/// Rank 3: hidden states, without a copy. Axis `layer_axis` counts layers; of the other two the first counts
/// tokens: 0 is [layer][token][dim], 1 is [token][layer][dim]. Throws shape_error for another axis,
/// unsupported_error for a layout that turns out to have no strides.
template <detail::mdspan_like M>
requires(M::rank() == 3)
hidden_states_view<typename M::element_type> layers_of(const M& m, std::size_t layer_axis = 0) {
  detail::require_strides(m);
  const auto [sizes, strides] = detail::mdspan_axes(m);
  return {detail::first_element(m), sizes, strides, layer_axis};
}

}  // namespace layerwise::inline LAYERWISE_ABI
