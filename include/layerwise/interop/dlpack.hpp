// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/embedding.hpp>

#include <dlpack/dlpack.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

/// @file
/// DLPack tensors: rank 2 is an embedding matrix, rank 3 hidden states. Scalar type, device and layout
/// are looked at when the program runs, and what is not read throws unsupported_error; the tensor is not
/// consumed, and its deleter not called.
namespace layerwise::inline LAYERWISE_ABI {
namespace detail {

inline constexpr place dlpack_place{.operand = "DLTensor"};

/// Throws unsupported_error for what the library does not read.
inline scalar_type dlpack_scalar(const DLDataType& type) {
  if (type.lanes == 1) {
    if (type.code == kDLFloat && type.bits == 64) return scalar_type::float64;
    if (type.code == kDLFloat && type.bits == 32) return scalar_type::float32;
    if (type.code == kDLFloat && type.bits == 16) return scalar_type::float16;
    if (type.code == kDLBfloat && type.bits == 16) return scalar_type::bfloat16;
  }
  fail<unsupported_error>("float64, float32, float16 or bfloat16",
                          text("type code ", int{type.code}, " of ", int{type.bits}, " bits, ", type.lanes, " lanes"),
                          dlpack_place);
}

/// Sizes and strides in elements; no strides means compact and row-major. Throws shape_error for another
/// rank, unsupported_error for memory that this processor cannot read.
template <std::size_t rank>
struct dlpack_layout {
  std::array<index, rank> sizes, strides;
  scalar_type type;

  explicit dlpack_layout(const DLTensor& t) : type(dlpack_scalar(t.dtype)) {
    const auto device = t.device.device_type;
    if (device != kDLCPU && device != kDLCUDAHost && device != kDLROCMHost)
      fail<unsupported_error>("memory of the CPU", text("device type ", static_cast<int>(device)), dlpack_place);
    if (t.ndim != static_cast<int>(rank))
      fail<shape_error>(text("a tensor of rank ", rank), text("rank ", t.ndim), dlpack_place);
    std::uint64_t compact = 1;  // may overflow for sizes that no memory has
    for (std::size_t axis = rank; axis-- > 0;) {
      sizes[axis] = static_cast<index>(t.shape[axis]);
      strides[axis] = t.strides == nullptr ? static_cast<index>(compact) : static_cast<index>(t.strides[axis]);
      compact *= static_cast<std::uint64_t>(sizes[axis]);
    }
  }
};

inline std::byte* dlpack_data(const DLTensor& t) {
  return t.data == nullptr ? nullptr : static_cast<std::byte*>(t.data) + t.byte_offset;
}

template <class Void, class Tensor>
auto dlpack_matrix(Tensor& t) {
  const dlpack_layout<2> layout(t);
  return make_view(layout.type, static_cast<Void*>(dlpack_data(t)), layout.sizes[0], layout.sizes[1], layout.strides[0],
                   layout.strides[1]);
}

template <class Void, class Tensor>
auto dlpack_layers(Tensor& t, std::size_t layer_axis) {
  const dlpack_layout<3> layout(t);
  return make_layers(layout.type, static_cast<Void*>(dlpack_data(t)), layout.sizes, layout.strides, layer_axis);
}

}  // namespace detail

/// Rank 2: n_tokens x d of float64, float32, float16 or bfloat16, with strides or compact, with a byte
/// offset, in memory of the CPU or pinned for a device. Throws unsupported_error for any other scalar type or
/// device, shape_error for another rank. A DLTensor that is not const may be written to: whether its owner
/// agrees it does not say.
template <>
struct embedding_traits<DLTensor> {
  static constexpr bool is_view = true;
  static any_view view(const DLTensor& t) { return detail::dlpack_matrix<const void>(t); }
  static any_writable_view view(DLTensor& t) { return detail::dlpack_matrix<void>(t); }
};

/// What DLPack hands over from one library to another.
template <>
struct embedding_traits<DLManagedTensor> {
  static constexpr bool is_view = true;
  static any_view view(const DLManagedTensor& t) { return detail::dlpack_matrix<const void>(t.dl_tensor); }
  static any_writable_view view(DLManagedTensor& t) { return detail::dlpack_matrix<void>(t.dl_tensor); }
};

/// Rank 3: hidden states, without a copy. Axis `layer_axis` counts layers; of the other two the first
/// counts tokens. Throws unsupported_error for another scalar type or device, shape_error for another
/// rank or axis. The views do not keep the tensor.
inline std::vector<any_view> layers_of(const DLTensor& t, std::size_t layer_axis = 0) {
  return detail::dlpack_layers<const void>(t, layer_axis);
}
/// The same, to write to.
inline std::vector<any_writable_view> layers_of(DLTensor& t, std::size_t layer_axis = 0) {
  return detail::dlpack_layers<void>(t, layer_axis);
}

}  // namespace layerwise::inline LAYERWISE_ABI
