// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/any_view.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/hidden_states_view.hpp>

#include <array>
#include <cstddef>
#include <type_traits>
#include <vector>

/// @file
/// What the tensors of all libraries have in common: a scalar type known when the program runs, sizes and strides.
namespace layerwise::inline LAYERWISE_ABI {
namespace detail {

/// Of a tensor of `rank` axes, the slowest first.
template <std::size_t rank>
struct tensor_axes {
  std::array<index, rank> sizes, strides;  ///< in elements
};

/// axis(i) is the size and the stride of axis i.
template <std::size_t rank, class Axis>
tensor_axes<rank> axes_of(const Axis& axis) {
  tensor_axes<rank> axes;
  for (std::size_t i = 0; i < rank; ++i) {
    const auto [size, stride] = axis(i);
    axes.sizes[i] = static_cast<index>(size);
    axes.strides[i] = static_cast<index>(stride);
  }
  return axes;
}

template <std::size_t rank>
struct tensor_layout {
  scalar_type type;
  tensor_axes<rank> axes;
};

/// How a library's tensors are read where they are. Specialized for each:
///
///     template <std::size_t rank> static tensor_layout<rank> layout(const Tensor&);  // throws for what is not read
///     template <class Void> static Void* data(const Tensor&);                        // where the first element is
template <class Tensor>
struct tensor_traits;

template <class T>
concept tensor = !std::is_const_v<T> && requires(const T& t) { tensor_traits<T>::template layout<3>(t); };

template <class Void, tensor T>
view_of_memory<Void> view_tensor(const T& t) {
  const auto [type, axes] = tensor_traits<T>::template layout<2>(t);
  return make_view(type, tensor_traits<T>::template data<Void>(t), axes.sizes[0], axes.sizes[1], axes.strides[0],
                   axes.strides[1]);
}

template <class Void, tensor T>
std::vector<view_of_memory<Void>> view_layers(const T& t, std::size_t layer_axis) {
  const auto [type, axes] = tensor_traits<T>::template layout<3>(t);
  return make_layers(type, tensor_traits<T>::template data<Void>(t), axes.sizes, axes.strides, layer_axis);
}

/// The embedding_traits of a tensor of rank 2; one that is not const may be written to.
template <class T>
struct tensor_views {
  static any_view view(const T& t) { return view_tensor<const void>(t); }
  static any_writable_view view(T& t) { return view_tensor<void>(t); }
};

}  // namespace detail

/// A tensor of rank 3 as hidden states, without a copy. Axis `layer_axis` counts layers; of the other two the first
/// counts tokens: 0 is [layer][token][dim], 1 is [token][layer][dim].
///
/// Throws shape_error for another rank or axis, and as the tensor's embedding_traits for what is not read. The views do
/// not keep the tensor: one made as the argument is gone at the end of the statement.
template <detail::tensor T>
std::vector<any_view> layers_of(const T& t, std::size_t layer_axis = 0) {
  return detail::view_layers<const void>(t, layer_axis);
}
/// The same, to write to.
template <detail::tensor T>
std::vector<any_writable_view> layers_of(T& t, std::size_t layer_axis = 0) {
  return detail::view_layers<void>(t, layer_axis);
}

}  // namespace layerwise::inline LAYERWISE_ABI
