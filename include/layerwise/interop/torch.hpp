// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/embedding.hpp>

#include <ATen/core/Tensor.h>

#include <array>
#include <cstddef>
#include <type_traits>
#include <vector>

/// @file
/// Tensors of libtorch, of float64, float32, float16 and bfloat16 in memory of the CPU, with whatever
/// strides: rank 2 is an embedding matrix, rank 3 hidden states. What is not read throws
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

/// Throws shape_error for another rank.
template <std::size_t rank>
struct torch_layout {
  std::array<index, rank> sizes, strides;

  explicit torch_layout(const at::Tensor& t) {
    if (t.dim() != static_cast<std::int64_t>(rank))
      fail<shape_error>(text("a tensor of rank ", rank), text("rank ", t.dim()), torch_place);
    for (std::size_t axis = 0; axis < rank; ++axis) {
      sizes[axis] = static_cast<index>(t.size(static_cast<std::int64_t>(axis)));
      strides[axis] = static_cast<index>(t.stride(static_cast<std::int64_t>(axis)));
    }
  }
};

/// Where the first element is. For a mere read later versions of libtorch have a function of its own, which
/// does not make a lazy copy a real one.
template <class Void, class Tensor>
Void* torch_data(const Tensor& t) {
  if constexpr (std::is_const_v<Void> && requires { t.const_data_ptr(); })
    return t.const_data_ptr();
  else
    return t.data_ptr();
}

template <class Void>
auto torch_view(const at::Tensor& t) {
  const scalar_type type = torch_scalar(t);
  const torch_layout<2> layout(t);
  return make_view(type, torch_data<Void>(t), layout.sizes[0], layout.sizes[1], layout.strides[0], layout.strides[1]);
}

template <class Void>
auto torch_layers(const at::Tensor& t, std::size_t layer_axis) {
  const scalar_type type = torch_scalar(t);
  const torch_layout<3> layout(t);
  return make_layers(type, torch_data<Void>(t), layout.sizes, layout.strides, layer_axis);
}

}  // namespace detail

/// Rank 2: n_tokens x d. Throws unsupported_error for an undefined tensor, another scalar type, device or
/// layout, shape_error for another rank or a stride of 0 (Tensor::expand; see Tensor::contiguous). A range
/// holds tensors, not temporaries of them. Written to, a tensor's version counter does not move: do not write
/// to what a backward pass has saved.
template <>
struct embedding_traits<at::Tensor> {
  static any_view view(const at::Tensor& t) { return detail::torch_view<const void>(t); }
  static any_writable_view view(at::Tensor& t) { return detail::torch_view<void>(t); }
};

/// Rank 3: hidden states, without a copy. Axis `layer_axis` counts layers; of the other two the first
/// counts tokens. Throws unsupported_error for an undefined tensor, another scalar type, device or
/// layout, shape_error for another rank or axis, or a stride of 0. The views do not keep the tensor:
/// t.to(type) as an argument is gone at the end of the statement.
inline std::vector<any_view> layers_of(const at::Tensor& t, std::size_t layer_axis = 0) {
  return detail::torch_layers<const void>(t, layer_axis);
}
/// The same, to write to.
inline std::vector<any_writable_view> layers_of(at::Tensor& t, std::size_t layer_axis = 0) {
  return detail::torch_layers<void>(t, layer_axis);
}

}  // namespace layerwise::inline LAYERWISE_ABI
