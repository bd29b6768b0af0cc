// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/data/any_view.hpp>
#include <layerwise/interop/detail/tensor_layout.hpp>

#include <ggml-backend.h>
#include <ggml.h>

#include <cstddef>
#include <optional>
#include <utility>

// How the tensors of ggml lie in memory.
namespace layerwise::inline LAYERWISE_ABI::detail {

inline constexpr place ggml_place{.operand = "ggml_tensor"};

/// Nothing for the types that are no scalars of the library.
inline std::optional<scalar_type> ggml_scalar(const ggml_tensor& t) {
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
      return std::nullopt;
  }
}

[[noreturn]] inline void fail_ggml_type(const char* expected, const ggml_tensor& t) {
  fail<unsupported_error>(expected, text("type ", static_cast<int>(t.type)), ggml_place);
}

/// Throws unsupported_error for memory that this processor cannot read. Tensors outside any buffer are in their
/// context's memory.
inline void require_host(const ggml_tensor& t) {
  const ggml_backend_buffer_t buffer = t.view_src != nullptr ? t.view_src->buffer : t.buffer;
  if (buffer != nullptr && !ggml_backend_buffer_is_host(buffer))
    fail<unsupported_error>("a tensor in memory of the host (see ggml_backend_tensor_get)",
                            text("one in a buffer of ", ggml_backend_buffer_name(buffer)), ggml_place);
}

/// Throws shape_error for a higher rank.
inline void require_rank(const ggml_tensor& t, std::size_t rank) {
  for (std::size_t axis = rank; axis < GGML_MAX_DIMS; ++axis)
    if (t.ne[axis] != 1)
      fail<shape_error>(text("a tensor of rank ", rank), text("ne[", axis, "] = ", t.ne[axis]), ggml_place);
}

template <>
struct tensor_traits<ggml_tensor> {
  template <std::size_t rank>
  static tensor_layout<rank> layout(const ggml_tensor& t) {
    require_host(t);
    const auto type = ggml_scalar(t);
    if (!type) fail_ggml_type("GGML_TYPE_F64, F32, F16 or BF16", t);
    require_rank(t, rank);
    const std::size_t element = *type == scalar_type::float64 ? 8 : *type == scalar_type::float32 ? 4 : 2;
    const auto stride = [&](std::size_t axis) {
      if (t.nb[axis] % element != 0)
        fail<unsupported_error>(text("strides of whole elements of ", element, " bytes"),
                                text("nb[", axis, "] = ", t.nb[axis]), ggml_place);
      return t.nb[axis] / element;
    };
    return {*type,
            axes_of<rank>([&](std::size_t axis) { return std::pair(t.ne[rank - 1 - axis], stride(rank - 1 - axis)); })};
  }

  template <class Void>
  static Void* data(const ggml_tensor& t) {
    return t.data;
  }
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
