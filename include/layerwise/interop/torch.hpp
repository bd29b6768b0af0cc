// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/interop/detail/tensor_layout.hpp>

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

/// @file
/// Tensors of libtorch, of float64, float32, float16 and bfloat16 in memory of the CPU, with whatever
/// strides: rank 2 is an embedding matrix, rank 3 hidden states (see layers_of). What is not read throws
/// unsupported_error. Only the values are read: autograd sees nothing of it, and a gradient is neither
/// asked for nor changed. Work queued for another device must be finished and copied first.
namespace layerwise::inline LAYERWISE_ABI {
namespace detail {

inline constexpr place torch_place{.operand = "at::Tensor"};

/// Throws unsupported_error for what the library does not read.
inline scalar_type torch_scalar(const at::Tensor& t) {
  if (!t.defined()) fail<unsupported_error>("a tensor", "an undefined one", torch_place);
  if (t.layout() != c10::kStrided)
    fail<unsupported_error>("a tensor with strides", text("layout ", t.layout()), torch_place);
  if (t.is_nested()) fail<unsupported_error>("a tensor of one shape", "a nested one", torch_place);
  if (t._is_zerotensor())
    fail<unsupported_error>("values in memory (see Tensor::clone)", "zeros without any", torch_place);
  if (!t.device().is_cpu())
    fail<unsupported_error>("a tensor in memory of the CPU (see Tensor::cpu)", text(t.device()), torch_place);
  if (t.is_neg())
    fail<unsupported_error>("values as they are in memory (see Tensor::resolve_neg)", "a lazy negative", torch_place);
  switch (t.scalar_type()) {
    case c10::ScalarType::Double:
      return scalar_type::float64;
    case c10::ScalarType::Float:
      return scalar_type::float32;
    case c10::ScalarType::Half:
      return scalar_type::float16;
    case c10::ScalarType::BFloat16:
      return scalar_type::bfloat16;
    default:
      fail<unsupported_error>("float64, float32, float16 or bfloat16", text(t.scalar_type()), torch_place);
  }
}

template <>
struct tensor_traits<at::Tensor> {
  template <std::size_t rank>
  static tensor_layout<rank> layout(const at::Tensor& t) {
    const scalar_type type = torch_scalar(t);
    if (t.dim() != static_cast<std::int64_t>(rank))
      fail<shape_error>(text("a tensor of rank ", rank), text("rank ", t.dim()), torch_place);
    return {type, axes_of<rank>([&](std::size_t axis) {
              return std::pair(t.size(static_cast<std::int64_t>(axis)), t.stride(static_cast<std::int64_t>(axis)));
            })};
  }

  /// For a mere read later versions of libtorch have a function of its own, which does not make a lazy copy a real one.
  template <class Void, class Tensor>
  static Void* data(const Tensor& t) {
    if constexpr (std::is_const_v<Void> && requires { t.const_data_ptr(); })
      return t.const_data_ptr();
    else
      return t.data_ptr();
  }
};

}  // namespace detail

/// Rank 2: n_tokens x d. Throws unsupported_error for an undefined tensor, another scalar type, device or
/// layout, shape_error for another rank or a stride of 0 (Tensor::expand; see Tensor::contiguous). A range
/// holds tensors, not temporaries of them. Written to, a tensor's version counter does not move: do not write
/// to what a backward pass has saved.
template <>
struct embedding_traits<at::Tensor> : detail::tensor_views<at::Tensor> {};

}  // namespace layerwise::inline LAYERWISE_ABI
