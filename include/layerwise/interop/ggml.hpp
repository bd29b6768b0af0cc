// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/embedding.hpp>

#include <ggml.h>

#include <array>
#include <cstddef>
#include <vector>

/// @file
/// Tensors of ggml, F64, F32, F16 and BF16, and pointers to them: ne[0] is d, ne[1] the tokens and ne[2]
/// the layers; nb are the strides in bytes. Other types throw unsupported_error. Only the public struct
/// of ggml.h is needed, nothing is linked. The struct does not say where the data is: it must be in
/// memory of the CPU (see ggml_backend_buffer_is_host), and computed.
namespace layerwise::inline LAYERWISE_ABI {
namespace detail {

inline constexpr place ggml_place{.operand = "ggml_tensor"};

/// Throws unsupported_error for what the library does not read.
inline scalar_type ggml_scalar(const ggml_tensor& t) {
  switch (t.type) {
    case GGML_TYPE_F64:
      return scalar_type::float64;
    case GGML_TYPE_F32:
      return scalar_type::float32;
    case GGML_TYPE_F16:
      return scalar_type::float16;
    case GGML_TYPE_BF16:
      return scalar_type::bfloat16;
    default:
      fail<unsupported_error>("GGML_TYPE_F64, F32, F16 or BF16", text("type ", static_cast<int>(t.type)), ggml_place);
  }
}

/// Sizes and strides in elements, the slowest axis first. Throws shape_error for a higher rank,
/// unsupported_error for a stride that is no multiple of an element.
template <std::size_t rank>
struct ggml_layout {
  std::array<index, rank> sizes, strides;
  scalar_type type;

  explicit ggml_layout(const ggml_tensor& t) : type(ggml_scalar(t)) {
    for (std::size_t axis = rank; axis < GGML_MAX_DIMS; ++axis)
      if (t.ne[axis] != 1)
        fail<shape_error>(text("a tensor of rank ", rank), text("ne[", axis, "] = ", t.ne[axis]), ggml_place);
    const std::size_t element = type == scalar_type::float64 ? 8 : type == scalar_type::float32 ? 4 : 2;
    for (std::size_t axis = 0; axis < rank; ++axis) {
      if (t.nb[axis] % element != 0)
        fail<unsupported_error>(text("strides of whole elements of ", element, " bytes"),
                                text("nb[", axis, "] = ", t.nb[axis]), ggml_place);
      sizes[rank - 1 - axis] = static_cast<index>(t.ne[axis]);
      strides[rank - 1 - axis] = static_cast<index>(t.nb[axis] / element);
    }
  }
};

inline const ggml_tensor& pointee(const ggml_tensor* t) {
  if (t == nullptr) fail<unsupported_error>("a tensor", "a null pointer", ggml_place);
  return *t;
}

template <class Void>
auto ggml_view(const ggml_tensor& t) {
  const ggml_layout<2> layout(t);
  return make_view(layout.type, static_cast<Void*>(t.data), layout.sizes[0], layout.sizes[1], layout.strides[0],
                   layout.strides[1]);
}

template <class Void>
auto ggml_layers(const ggml_tensor& t, std::size_t layer_axis) {
  const ggml_layout<3> layout(t);
  return make_layers(layout.type, static_cast<Void*>(t.data), layout.sizes, layout.strides, layer_axis);
}

}  // namespace detail

/// Rank 2: ne[1] tokens x ne[0] dimensions, transposed or permuted or part of another tensor as it may be.
/// Throws unsupported_error for quantized and other types, shape_error for a higher rank.
template <>
struct embedding_traits<ggml_tensor> {
  static constexpr bool is_view = true;
  static any_view view(const ggml_tensor& t) { return detail::ggml_view<const void>(t); }
  static any_writable_view view(ggml_tensor& t) { return detail::ggml_view<void>(t); }
};

/// ggml hands out pointers; ranges of them are hidden states. Throws unsupported_error for a null pointer.
template <>
struct embedding_traits<ggml_tensor*> {
  static constexpr bool is_view = true;
  static any_writable_view view(ggml_tensor* t) { return detail::ggml_view<void>(detail::pointee(t)); }
};
template <>
struct embedding_traits<const ggml_tensor*> {
  static constexpr bool is_view = true;
  static any_view view(const ggml_tensor* t) { return detail::ggml_view<const void>(detail::pointee(t)); }
};

/// Rank 3: hidden states, without a copy. Axis `layer_axis` counts layers, from the slowest axis: 0 is ne[2]
/// layers of ne[1] tokens, 1 is ne[1] layers of ne[2] tokens. Throws unsupported_error for
/// quantized and other types, shape_error for a higher rank or another axis.
inline std::vector<any_view> layers_of(const ggml_tensor& t, std::size_t layer_axis = 0) {
  return detail::ggml_layers<const void>(t, layer_axis);
}
/// The same, to write to.
inline std::vector<any_writable_view> layers_of(ggml_tensor& t, std::size_t layer_axis = 0) {
  return detail::ggml_layers<void>(t, layer_axis);
}

}  // namespace layerwise::inline LAYERWISE_ABI
