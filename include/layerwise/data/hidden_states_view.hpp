// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/any_view.hpp>
#include <layerwise/data/strided_view.hpp>

#include <array>
#include <cstddef>
#include <iterator>
#include <vector>

/// @file
/// A rank-3 array as the hidden states of a stack of layers.
namespace layerwise::inline LAYERWISE_ABI {

/// A rank-3 array as hidden states: a range of strided_view, one per layer. Strides are in elements.
template <class T>
class hidden_states_view {
 public:
  /// `data` is where the first layer begins. Throws shape_error for a negative size and for a layer
  /// stride of 0 over more than one element; the other strides are checked when a layer is taken.
  hidden_states_view(T* data, index layers, index tokens, index dims, index layer_stride, index token_stride,
                     index dim_stride)
      : data_(data),
        layers_(layers),
        tokens_(tokens),
        dims_(dims),
        layer_stride_(layer_stride),
        token_stride_(token_stride),
        dim_stride_(dim_stride) {
    if (layers < 0 || tokens < 0 || dims < 0)
      detail::fail<shape_error>("sizes >= 0", detail::text(layers, " x ", tokens, " x ", dims), here);
    if (layers > 1 && tokens > 0 && dims > 0 && layer_stride == 0)
      detail::fail<shape_error>("a layer stride other than 0", "0", here);
  }

  /// By the sizes and strides of the three axes. Axis `layer_axis` counts layers; of the other two the first
  /// counts tokens. Throws shape_error for another axis, too.
  hidden_states_view(T* data, const std::array<index, 3>& sizes, const std::array<index, 3>& strides,
                     std::size_t layer_axis)
      : hidden_states_view(data, sizes, strides, order_of_axes(layer_axis)) {}

  /// [layer][token][dim], contiguous.
  static hidden_states_view layer_major(T* data, index layers, index tokens, index dims) {
    return {data, layers, tokens, dims, tokens * dims, dims, 1};
  }

  /// [token][layer][dim], contiguous: every layer is a strided slice.
  static hidden_states_view token_major(T* data, index tokens, index layers, index dims) {
    return {data, layers, tokens, dims, dims, layers * dims, 1};
  }

  /// The number of layers, L + 1.
  index size() const { return layers_; }
  /// h_l for l = `layer`, which is not checked. Throws as strided_view.
  strided_view<T> operator[](index layer) const {
    return {data_ == nullptr ? nullptr : data_ + layer * layer_stride_, tokens_, dims_, token_stride_, dim_stride_};
  }

  class iterator {
   public:
    using iterator_concept = std::forward_iterator_tag;
    using value_type = strided_view<T>;
    using difference_type = std::ptrdiff_t;

    iterator() = default;
    iterator(const hidden_states_view* states, index layer) : states_(states), layer_(layer) {}
    strided_view<T> operator*() const { return (*states_)[layer_]; }
    iterator& operator++() { return ++layer_, *this; }
    iterator operator++(int) { return {states_, layer_++}; }
    bool operator==(const iterator&) const = default;

   private:
    const hidden_states_view* states_ = nullptr;
    index layer_ = 0;
  };

  iterator begin() const { return {this, 0}; }      ///< at h_0; the view must live on
  iterator end() const { return {this, layers_}; }  ///< after h_L

 private:
  static constexpr place here{.operand = "hidden_states_view"};

  /// The axes of layers, tokens and dims.
  static std::array<std::size_t, 3> order_of_axes(std::size_t layer_axis) {
    if (layer_axis > 2)
      detail::fail<shape_error>("a layer axis of 0, 1 or 2", detail::text(layer_axis), {.operand = "hidden states"});
    return {layer_axis, layer_axis == 0 ? 1u : 0u, layer_axis == 2 ? 1u : 2u};
  }

  hidden_states_view(T* data, const std::array<index, 3>& sizes, const std::array<index, 3>& strides,
                     const std::array<std::size_t, 3>& axis)
      : hidden_states_view(data, sizes[axis[0]], sizes[axis[1]], sizes[axis[2]], strides[axis[0]], strides[axis[1]],
                           strides[axis[2]]) {}

  T* data_;
  index layers_, tokens_, dims_, layer_stride_, token_stride_, dim_stride_;
};

/// The layers of a rank-3 array whose scalar type is `type`: views of memory that must live on. Axes as in
/// hidden_states_view; strides are in elements. Throws as hidden_states_view and strided_view, and unsupported_error
/// for memory that is not aligned to its elements.
template <class Void>
std::vector<view_of_memory<Void>> make_layers(scalar_type type, Void* data, const std::array<index, 3>& sizes,
                                              const std::array<index, 3>& strides, std::size_t layer_axis) {
  return detail::with_scalar(type, data, [&](auto* elements) {
    std::vector<view_of_memory<Void>> layers;
    for (const auto& layer : hidden_states_view(elements, sizes, strides, layer_axis)) layers.push_back(layer);
    return layers;
  });
}

}  // namespace layerwise::inline LAYERWISE_ABI
