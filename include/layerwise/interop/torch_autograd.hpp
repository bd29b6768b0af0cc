// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/interop/detail/torch_function.hpp>
#include <layerwise/interop/torch.hpp>
#include <layerwise/solve/linearity_options.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>
#include <layerwise/training/cosine.hpp>
#include <layerwise/training/jreg.hpp>
#include <layerwise/training/linearity_gradient.hpp>
#include <layerwise/training/mse.hpp>
#include <layerwise/training/penalty.hpp>

#include <ATen/ATen.h>

#include <algorithm>
#include <concepts>
#include <ranges>
#include <type_traits>
#include <vector>

/// @file
/// The regularizers and the linearity scores as differentiable functions of libtorch: a scalar to add to a
/// training loss.
namespace layerwise::inline LAYERWISE_ABI {

/// mse_regularizer, cosine_regularizer, jreg_regularizer, or another class with their two functions.
template <class R>
concept torch_regularizer = requires(const R& regularizer, const std::vector<at::Tensor>& states,
                                     std::vector<at::Tensor>& gradients, const token_mask& mask) {
  { regularizer.value(states, mask) } -> std::convertible_to<double>;
  { regularizer.value_and_gradient(states, gradients, mask) } -> std::convertible_to<double>;
};

/// Layers that are tensors, in a std::vector, a std::array, an at::TensorList ...
template <class H>
concept torch_states =
    hidden_states<H> && std::same_as<std::remove_cvref_t<std::ranges::range_reference_t<const H>>, at::Tensor>;

/// A regularizer of hidden states as a tensor with a grad_fn: add it to a loss and call backward().
///
///     const layerwise::cosine_regularizer regularizer{.lambda = 0.5};
///     (loss + layerwise::penalty(regularizer, states)).backward();
///
/// states: h_0 ... h_L, each [n_tokens][d] or [batch][tokens][d], of float64, float32, float16 or bfloat16 in
/// memory of the CPU, contiguous or not; their types may differ. Of rank 3 the first two axes are taken for
/// one: without a copy where the strides allow it. (A stacked tensor gives its layers by Tensor::unbind.)
/// mask: the tokens that take part, counted along these two axes.
///
/// Returns a scalar of the type the states promote to, at least float32: it adds to a loss of theirs without
/// a cast. Value and gradients are computed in double. The value is rounded once, to that type; a gradient
/// waits in the type of its state, at least float32, so that a scaled loss keeps it from underflow, and is
/// rounded to 16 bits only when it has been multiplied. Only states that require a gradient get one: a
/// detached layer is a constant to both its neighbours (the regularizer's stop_gradient: to one of them). One
/// that requires a gradient but takes no part gets zeros. In a scope without gradients (at::NoGradGuard), or
/// where no state requires one, only the value is computed.
///
/// Throws what the regularizer throws, unsupported_error for what torch.hpp does not read, shape_error for
/// tensors of another rank; and unsupported_error where a gradient, recorded with create_graph, is itself
/// differentiated.
///
/// Costs one pass over the states and one over the gradients in the forward pass, and a multiplication of the
/// gradients in the backward pass; memory: the gradients.
template <torch_regularizer Regularizer>
at::Tensor penalty(const Regularizer& regularizer, at::TensorList states, const token_mask& mask = {}) {
  std::vector<at::Tensor> rows;
  for (const at::Tensor& h : states) rows.push_back(detail::torch_rows(h));
  const bool is_recorded = at::GradMode::is_enabled() &&
                           std::any_of(rows.begin(), rows.end(), [](const at::Tensor& h) { return h.requires_grad(); });
  if (!is_recorded) return detail::torch_scalar_of(regularizer.value(rows, mask), rows);
  return detail::torch_penalty<Regularizer>::apply(at::TensorList(rows), regularizer, mask);
}

/// The same for any range of tensors, instead of the penalty() that is a double.
template <regularizer Regularizer, torch_states H>
at::Tensor penalty(const Regularizer& regularizer, const H& states, const token_mask& mask = {}) {
  std::vector<at::Tensor> tensors;
  for (const at::Tensor& h : states) tensors.push_back(h);
  return penalty(regularizer, at::TensorList(tensors), mask);
}

/// The linearity score s(X, Y) of linearity() as a tensor with a grad_fn, with the gradients of
/// linearity_and_gradient(): a differentiable linearity.
///
/// x: n_tokens x d_x, y: n_tokens x d_y, or of rank 3, [batch][tokens][d], where the first two axes are taken
/// for one; types, result and saved gradients as penalty(). An input that requires no gradient is a constant.
/// mask counts tokens along these two axes.
///
/// Throws what linearity() throws and what penalty() throws of tensors. Costs linearity_and_gradient() in the
/// forward pass, where a gradient is required, and a multiplication of the gradients in the backward pass.
inline at::Tensor differentiable_linearity(const at::Tensor& x, const at::Tensor& y,
                                           const linearity_options& options = {}, const token_mask& mask = {}) {
  return detail::torch_score(x, y, detail::regression_target::output, options, mask);
}

/// The same of residual_linearity(): s(before, after - before).
inline at::Tensor differentiable_residual_linearity(const at::Tensor& before, const at::Tensor& after,
                                                    const linearity_options& options = {},
                                                    const token_mask& mask = {}) {
  return detail::torch_score(before, after, detail::regression_target::update, options, mask);
}

}  // namespace layerwise::inline LAYERWISE_ABI
