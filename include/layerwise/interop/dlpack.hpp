// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/interop/detail/tensor_layout.hpp>

#include <dlpack/dlpack.h>

#include <cstddef>
#include <cstdint>
#include <utility>

/// @file
/// DLPack tensors: rank 2 is an embedding matrix, rank 3 hidden states (see layers_of). Scalar type, device and layout
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

template <>
struct tensor_traits<DLTensor> {
  template <std::size_t rank>
  static tensor_layout<rank> layout(const DLTensor& t) {
    const scalar_type type = dlpack_scalar(t.dtype);
    const auto device = t.device.device_type;
    if (device != kDLCPU && device != kDLCUDAHost && device != kDLROCMHost)
      fail<unsupported_error>("memory of the CPU", text("device type ", static_cast<int>(device)), dlpack_place);
    if (t.ndim != static_cast<int>(rank))
      fail<shape_error>(text("a tensor of rank ", rank), text("rank ", t.ndim), dlpack_place);
    return {type, axes_of<rank>([&](std::size_t axis) {
              return std::pair(t.shape[axis], t.strides == nullptr ? compact_stride(t, axis) : t.strides[axis]);
            })};
  }

  template <class Void>
  static Void* data(const DLTensor& t) {
    return t.data == nullptr ? nullptr : static_cast<std::byte*>(t.data) + t.byte_offset;
  }

 private:
  /// No strides means compact and row-major.
  static std::int64_t compact_stride(const DLTensor& t, std::size_t axis) {
    std::uint64_t stride = 1;  // may overflow for sizes that no memory has
    for (auto inner = static_cast<std::size_t>(t.ndim); --inner > axis;)
      stride *= static_cast<std::uint64_t>(t.shape[inner]);
    return static_cast<std::int64_t>(stride);
  }
};

#if defined(DLPACK_MAJOR_VERSION) && DLPACK_MAJOR_VERSION >= 1
inline const DLManagedTensorVersioned& known_version(const DLManagedTensorVersioned& t) {
  if (t.version.major != DLPACK_MAJOR_VERSION)
    fail<unsupported_error>(text("a tensor of DLPack ", DLPACK_MAJOR_VERSION),
                            text("one of DLPack ", t.version.major, '.', t.version.minor), dlpack_place);
  return t;
}
#endif

}  // namespace detail

/// Rank 2: n_tokens x d of float64, float32, float16 or bfloat16, with strides or compact, with a byte
/// offset, in memory of the CPU or pinned for a device. Throws unsupported_error for any other scalar type or
/// device, shape_error for another rank. A DLTensor that is not const may be written to: whether its owner
/// agrees it does not say.
template <>
struct embedding_traits<DLTensor> : detail::tensor_views<DLTensor> {
  static constexpr bool is_view = true;
};

/// What DLPack hands over from one library to another.
template <>
struct embedding_traits<DLManagedTensor> {
  static constexpr bool is_view = true;
  static any_view view(const DLManagedTensor& t) { return detail::view_tensor<const void>(t.dl_tensor); }
  static any_writable_view view(DLManagedTensor& t) { return detail::view_tensor<void>(t.dl_tensor); }
};

#if defined(DLPACK_MAJOR_VERSION) && DLPACK_MAJOR_VERSION >= 1
/// The same since DLPack 1.0, which says whether it may be written to. Throws unsupported_error for a tensor of another
/// major version, whose layout is not known, and to write to one that is to be read only.
template <>
struct embedding_traits<DLManagedTensorVersioned> {
  static constexpr bool is_view = true;
  static any_view view(const DLManagedTensorVersioned& t) {
    return detail::view_tensor<const void>(detail::known_version(t).dl_tensor);
  }
  static any_writable_view view(DLManagedTensorVersioned& t) {
    if ((detail::known_version(t).flags & DLPACK_FLAG_BITMASK_READ_ONLY) != 0)
      detail::fail<unsupported_error>("a tensor that may be written to", "one that is to be read only",
                                      detail::dlpack_place);
    return detail::view_tensor<void>(t.dl_tensor);
  }
};
#endif

}  // namespace layerwise::inline LAYERWISE_ABI
