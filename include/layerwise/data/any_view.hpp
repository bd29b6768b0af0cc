// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/strided_view.hpp>

#include <Eigen/Core>

#include <cstdint>
#include <type_traits>
#include <variant>

/// @file
/// A view of a matrix whose scalar type is known only when the program runs.
namespace layerwise::inline LAYERWISE_ABI {

/// A strided_view whose scalar type is known only when the program runs: what tensors of other libraries are
/// read as. Layers of different scalar types make one range of it.
using any_view = std::variant<strided_view<const double>, strided_view<const float>, strided_view<const Eigen::half>,
                              strided_view<const Eigen::bfloat16>>;

/// An any_view to write to.
using any_writable_view =
    std::variant<strided_view<double>, strided_view<float>, strided_view<Eigen::half>, strided_view<Eigen::bfloat16>>;

/// The scalar types, where they are named when the program runs.
enum class scalar_type {
  float64,   ///< double
  float32,   ///< float
  float16,   ///< Eigen::half
  bfloat16,  ///< Eigen::bfloat16
};

/// What make_view makes of memory that may be written, or not.
template <class Void>
requires std::is_void_v<Void>
using view_of_memory = std::conditional_t<std::is_const_v<Void>, any_view, any_writable_view>;

/// The view of memory whose scalar type is `type`; strides in elements. Throws as strided_view, and
/// unsupported_error for memory that is not aligned to its elements.
template <class Void>
view_of_memory<Void> make_view(scalar_type type, Void* data, index rows, index cols, index row_stride,
                               index col_stride);

// ---------------------------------------------------------------------------------------------------------------------

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

template <class Void>
view_of_memory<Void> make_view(scalar_type type, Void* data, index rows, index cols, index row_stride,
                               index col_stride) {
  return detail::with_scalar(type, data, [&](auto* elements) -> view_of_memory<Void> {
    return strided_view(elements, rows, cols, row_stride, col_stride);
  });
}

}  // namespace layerwise::inline LAYERWISE_ABI
