// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/error.hpp>

#include <Eigen/Core>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <type_traits>
#include <variant>
#include <vector>

/// @file
/// Views of memory that somebody else owns: a matrix (strided_view), one whose scalar type is known only
/// when the program runs (any_view), a rank-3 array (hidden_states_view). Everywhere in the library: one
/// row per token, one column per hidden dimension (n_tokens x d).
namespace layerwise::inline LAYERWISE_ABI {

/// The scalar types read without conversion by the caller. All arithmetic is done in double.
template <class T>
concept embedding_scalar = std::same_as<T, float> || std::same_as<T, double> ||
    std::same_as<T, Eigen::half> || std::same_as<T, Eigen::bfloat16>;

/// A rank-2 view of memory that somebody else owns: element (i, j) is data[i * row_stride + j * col_stride].
///
/// T may be const; strides are in elements and may be negative. Throws shape_error for a negative size, a
/// zero stride over more than one element, or a null pointer to a non-empty matrix.
template <class T>
requires embedding_scalar<std::remove_const_t<T>>
class strided_view {
 public:
  using scalar = std::remove_const_t<T>;  ///< T without const

  /// `data` is where element (0, 0) is.
  strided_view(T* data, index rows, index cols, index row_stride, index col_stride = 1)
      : data_(data), rows_(rows), cols_(cols), row_stride_(row_stride), col_stride_(col_stride) {
    if (rows < 0 || cols < 0)
      detail::fail<shape_error>("rows >= 0 and cols >= 0", detail::text(detail::shape{rows, cols}), here);
    const bool empty = rows == 0 || cols == 0;
    if (!empty && ((rows > 1 && row_stride == 0) || (cols > 1 && col_stride == 0)))
      detail::fail<shape_error>("strides other than 0", detail::text(row_stride, " and ", col_stride), here);
    if (!empty && data == nullptr)
      detail::fail<shape_error>(detail::text("memory of ", detail::shape{rows, cols}), "a null pointer",
                                here);
  }

  /// Contiguous and row-major.
  strided_view(T* data, index rows, index cols) : strided_view(data, rows, cols, cols, 1) {}

  /// Of a std::span, std::vector or std::array, whose first element is element (0, 0). Also throws
  /// shape_error for strides below 0 and where an element would lie beyond the end.
  strided_view(std::span<T> elements, index rows, index cols, index row_stride, index col_stride = 1)
      : strided_view(elements.data(), rows, cols, row_stride, col_stride) {
    if (rows == 0 || cols == 0) return;
    if ((rows > 1 && row_stride < 0) || (cols > 1 && col_stride < 0))
      detail::fail<shape_error>("strides > 0, from the first element on",
                                detail::text(row_stride, " and ", col_stride), here);
    // One axis at a time, divided: no product overflows.
    const index last = static_cast<index>(elements.size()) - 1;
    const index left =
        cols > 1 && (cols - 1) > last / col_stride ? -1 : last - (cols > 1 ? (cols - 1) * col_stride : 0);
    if (left < 0 || (rows > 1 && (rows - 1) > left / row_stride))
      detail::fail<shape_error>(detail::text("elements for ", detail::shape{rows, cols}, " with strides ",
                                             row_stride, " and ", col_stride),
                                detail::text(elements.size()), here);
  }
  /// The same, contiguous and row-major.
  strided_view(std::span<T> elements, index rows, index cols) : strided_view(elements, rows, cols, cols, 1) {}
  /// A temporary container, whose elements would be gone, is refused.
  template <std::ranges::contiguous_range R, class... Strides>
  requires(!std::is_lvalue_reference_v<R> && !std::ranges::borrowed_range<R>)
      strided_view(R&&, index, index, Strides...)
  = delete;

  /// A view that may write is a view that may read.
  operator strided_view<const scalar>() const requires(!std::is_const_v<T>) {
    return {data_, rows_, cols_, row_stride_, col_stride_};
  }

  T* data() const { return data_; }                 ///< where element (0, 0) is
  index rows() const { return rows_; }              ///< n_tokens
  index cols() const { return cols_; }              ///< d
  index row_stride() const { return row_stride_; }  ///< elements from one row to the next
  index col_stride() const { return col_stride_; }  ///< elements from one column to the next
  /// The element; `row` and `col` are not checked.
  T& operator()(index row, index col) const { return data_[row * row_stride_ + col * col_stride_]; }

 private:
  static constexpr place here{.operand = "strided_view"};

  T* data_;
  index rows_, cols_, row_stride_, col_stride_;
};

/// Reads a buffer of raw 16-bit patterns as Scalar (Eigen::half or Eigen::bfloat16), in place.
template <class Scalar>
requires(std::same_as<Scalar, Eigen::half> ||
         std::same_as<Scalar, Eigen::bfloat16>) const Scalar* from_bits(const std::uint16_t* bits) {
  static_assert(sizeof(Scalar) == sizeof(std::uint16_t) && std::is_trivially_copyable_v<Scalar>);
  return reinterpret_cast<const Scalar*>(bits);
}

/// A strided_view whose scalar type is known only when the program runs: what tensors of other libraries are
/// read as. Layers of different scalar types make one range of it.
using any_view = std::variant<strided_view<const double>, strided_view<const float>,
                              strided_view<const Eigen::half>, strided_view<const Eigen::bfloat16>>;

/// An any_view to write to.
using any_writable_view = std::variant<strided_view<double>, strided_view<float>, strided_view<Eigen::half>,
                                       strided_view<Eigen::bfloat16>>;

/// The scalar types, where they are named when the program runs.
enum class scalar_type {
  float64,   ///< double
  float32,   ///< float
  float16,   ///< Eigen::half
  bfloat16,  ///< Eigen::bfloat16
};

namespace detail {

/// The axes of layers, tokens and dims.
inline std::array<std::size_t, 3> order_of_axes(std::size_t layer_axis) {
  if (layer_axis > 2)
    fail<shape_error>("a layer axis of 0, 1 or 2", text(layer_axis), {.operand = "hidden states"});
  return {layer_axis, layer_axis == 0 ? 1u : 0u, layer_axis == 2 ? 1u : 2u};
}

}  // namespace detail

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
  /// counts tokens.
  hidden_states_view(T* data, const std::array<index, 3>& sizes, const std::array<index, 3>& strides,
                     std::size_t layer_axis)
      : hidden_states_view(data, sizes, strides, detail::order_of_axes(layer_axis)) {}

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
    return {data_ == nullptr ? nullptr : data_ + layer * layer_stride_, tokens_, dims_, token_stride_,
            dim_stride_};
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

  hidden_states_view(T* data, const std::array<index, 3>& sizes, const std::array<index, 3>& strides,
                     const std::array<std::size_t, 3>& axis)
      : hidden_states_view(data, sizes[axis[0]], sizes[axis[1]], sizes[axis[2]], strides[axis[0]],
                           strides[axis[1]], strides[axis[2]]) {}

  T* data_;
  index layers_, tokens_, dims_, layer_stride_, token_stride_, dim_stride_;
};

/// What make_view makes of memory that may be written, or not.
template <class Void>
requires std::is_void_v<Void>
using view_of_memory = std::conditional_t<std::is_const_v<Void>, any_view, any_writable_view>;

namespace detail {

/// body(T*) for the scalar type T of memory. Throws unsupported_error where no T can be.
template <class Void, class Body>
auto with_scalar(scalar_type type, Void* data, const Body& body) {
  const auto as = [&](auto tag) {
    using scalar = typename decltype(tag)::type;
    if (reinterpret_cast<std::uintptr_t>(data) % alignof(scalar) != 0)
      fail<unsupported_error>(text("an address that is a multiple of ", alignof(scalar)), "one that is not",
                              {.operand = "memory of a matrix"});
    return body(static_cast<std::conditional_t<std::is_const_v<Void>, const scalar, scalar>*>(data));
  };
  switch (type) {
    case scalar_type::float64:
      return as(std::type_identity<double>());
    case scalar_type::float32:
      return as(std::type_identity<float>());
    case scalar_type::float16:
      return as(std::type_identity<Eigen::half>());
    default:
      return as(std::type_identity<Eigen::bfloat16>());
  }
}

}  // namespace detail

/// The view of memory whose scalar type is `type`; strides in elements. Throws as strided_view, and
/// unsupported_error for memory that is not aligned to its elements.
template <class Void>
view_of_memory<Void> make_view(scalar_type type, Void* data, index rows, index cols, index row_stride,
                               index col_stride) {
  return detail::with_scalar(type, data, [&](auto* elements) -> view_of_memory<Void> {
    return strided_view(elements, rows, cols, row_stride, col_stride);
  });
}

/// The layers of a rank-3 array whose scalar type is `type`; axes as in hidden_states_view.
template <class Void>
std::vector<view_of_memory<Void>> make_layers(scalar_type type, Void* data, const std::array<index, 3>& sizes,
                                              const std::array<index, 3>& strides, std::size_t layer_axis) {
  return detail::with_scalar(type, data, [&](auto* elements) {
    std::vector<view_of_memory<Void>> layers;
    for (const auto& layer : hidden_states_view(elements, sizes, strides, layer_axis))
      layers.push_back(layer);
    return layers;
  });
}

}  // namespace layerwise::inline LAYERWISE_ABI
