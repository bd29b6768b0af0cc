// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>

#include <Eigen/Core>

#include <concepts>
#include <cstdint>
#include <ranges>
#include <span>
#include <type_traits>

/// @file
/// A matrix in memory that somebody else owns. Everywhere in the library: one row per token, one column per hidden
/// dimension (n_tokens x d).
namespace layerwise::inline LAYERWISE_ABI {

/// The scalar types read without conversion by the caller. All arithmetic is done in double.
template <class T>
concept embedding_scalar = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, Eigen::half> ||
                           std::same_as<T, Eigen::bfloat16>;

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
      detail::fail<shape_error>(detail::text("memory of ", detail::shape{rows, cols}), "a null pointer", here);
  }

  /// Contiguous and row-major.
  strided_view(T* data, index rows, index cols) : strided_view(data, rows, cols, cols, 1) {}

  /// Of a std::span, std::vector or std::array, whose first element is element (0, 0). Also throws
  /// shape_error for strides below 0 and where an element would lie beyond the end.
  strided_view(std::span<T> elements, index rows, index cols, index row_stride, index col_stride = 1)
      : strided_view(elements.data(), rows, cols, row_stride, col_stride) {
    if (rows == 0 || cols == 0) return;
    if ((rows > 1 && row_stride < 0) || (cols > 1 && col_stride < 0))
      detail::fail<shape_error>("strides > 0, from the first element on", detail::text(row_stride, " and ", col_stride),
                                here);
    // One axis at a time, divided: no product overflows.
    const index last = static_cast<index>(elements.size()) - 1;
    const index left =
        cols > 1 && (cols - 1) > last / col_stride ? -1 : last - (cols > 1 ? (cols - 1) * col_stride : 0);
    if (left < 0 || (rows > 1 && (rows - 1) > left / row_stride))
      detail::fail<shape_error>(
          detail::text("elements for ", detail::shape{rows, cols}, " with strides ", row_stride, " and ", col_stride),
          detail::text(elements.size()), here);
  }
  /// The same, contiguous and row-major.
  strided_view(std::span<T> elements, index rows, index cols) : strided_view(elements, rows, cols, cols, 1) {}
  /// A temporary container, whose elements would be gone, is refused.
  template <std::ranges::contiguous_range R, class... Strides>
  requires(!std::is_lvalue_reference_v<R> && !std::ranges::borrowed_range<R>)
  strided_view(R&&, index, index, Strides...) = delete;

  /// A view that may write is a view that may read.
  operator strided_view<const scalar>() const
  requires(!std::is_const_v<T>)
  {
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
requires(std::same_as<Scalar, Eigen::half> || std::same_as<Scalar, Eigen::bfloat16>)
const Scalar* from_bits(const std::uint16_t* bits) {
  static_assert(sizeof(Scalar) == sizeof(std::uint16_t) && std::is_trivially_copyable_v<Scalar>);
  return reinterpret_cast<const Scalar*>(bits);
}

}  // namespace layerwise::inline LAYERWISE_ABI
