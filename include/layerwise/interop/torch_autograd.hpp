// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/interop/torch.hpp>
#include <layerwise/training/cosine.hpp>
#include <layerwise/training/jreg.hpp>
#include <layerwise/training/linearity_gradient.hpp>
#include <layerwise/training/mse.hpp>
#include <layerwise/training/penalty.hpp>

// Before ATen.h: clang does not compile libtorch 1.13 as C++20 without it.
#include <ATen/core/ivalue.h>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <ranges>
#include <type_traits>
#include <utility>
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

namespace detail {

/// The type of a scalar computed from these tensors: what they promote to, but no type of 16 bits.
inline c10::ScalarType torch_result_type(at::TensorList states) {
  c10::ScalarType type = c10::ScalarType::Float;
  for (const at::Tensor& h : states) type = c10::promoteTypes(type, h.scalar_type());
  return type;
}

/// Zeros to add a gradient to, at least of float32: rounded to 16 bits it could underflow before the backward
/// pass has multiplied it by what a loss is scaled with.
inline at::Tensor torch_gradient_of(const at::Tensor& h) {
  const auto type = c10::promoteTypes(h.scalar_type(), c10::ScalarType::Float);
  return at::zeros(h.sizes(), h.options().dtype(type).requires_grad(false));
}

/// Of rank 3 the first two axes as one. Throws unsupported_error for what torch.hpp does not read.
inline at::Tensor torch_rows(const at::Tensor& t) {
  torch_scalar(t);
  return t.dim() == 3 ? t.flatten(0, 1) : t;
}

inline at::Tensor torch_scalar_of(double value, at::TensorList states) {
  return at::scalar_tensor(value, at::TensorOptions(torch_result_type(states)));
}

/// The identity, whose own derivative is refused. Gradients pass through it when they are recorded: they
/// depend on the states, but as constants.
struct torch_second_derivative : torch::autograd::Function<torch_second_derivative> {
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& gradient) { return gradient.clone(); }
  [[noreturn]] static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                              const torch::autograd::variable_list&) {
    fail<unsupported_error>("first derivatives only", "a gradient of a gradient", torch_place);
  }
};

/// What a backward pass gives for the inputs of a scalar whose gradients were saved (undefined for those that
/// need none), and for `others` arguments that have none.
inline torch::autograd::variable_list saved_gradients(torch::autograd::AutogradContext* context,
                                                      const torch::autograd::variable_list& outer, std::size_t others) {
  torch::autograd::variable_list result = context->get_saved_variables();
  for (at::Tensor& gradient : result) {
    if (!gradient.defined()) continue;
    gradient = gradient * outer[0].detach();  // autograd casts it to the input's type
    if (at::GradMode::is_enabled()) gradient = torch_second_derivative::apply(gradient.requires_grad_());
  }
  result.resize(result.size() + others);
  return result;
}

/// Value and gradients are had in one pass, so both are computed in the forward pass.
template <class Regularizer>
struct torch_penalty : torch::autograd::Function<torch_penalty<Regularizer>> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, at::TensorList inputs,
                            const Regularizer& regularizer, const token_mask& mask) {
    const std::vector<at::Tensor> states = inputs.vec();
    std::vector<at::Tensor> gradients;
    torch::autograd::variable_list wanted;
    at::Tensor unwanted;  // one for all layers: its sums mean nothing
    for (const at::Tensor& h : states) {
      if (h.requires_grad()) {
        gradients.push_back(torch_gradient_of(h));
        wanted.push_back(gradients.back());
      } else {
        if (!unwanted.defined()) unwanted = torch_gradient_of(h);
        gradients.push_back(unwanted);
        wanted.emplace_back();
      }
    }
    const double value = regularizer.value_and_gradient(states, gradients, mask);
    context->save_for_backward(std::move(wanted));
    return torch_scalar_of(value, states);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& outer) {
    return saved_gradients(context, outer, 2);  // regularizer and mask have none
  }
};

/// The same for a linearity score.
struct torch_linearity : torch::autograd::Function<torch_linearity> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& y,
                            regression_target what, const linearity_options& options, const token_mask& mask) {
    at::Tensor of_x, of_y;
    if (x.requires_grad()) of_x = torch_gradient_of(x);
    if (y.requires_grad()) of_y = torch_gradient_of(y);
    const auto score = [&](auto&& to_x, auto&& to_y) {
      const operand_names names = what == regression_target::output ? pair_names : residual_names;
      return score_and_gradient(x, y, to_x, to_y, {{options, what, names, true}, mask}).score;
    };
    const double value = !of_x.defined()   ? score(nullptr, of_y)
                         : !of_y.defined() ? score(of_x, nullptr)
                                           : score(of_x, of_y);
    context->save_for_backward({of_x, of_y});
    return torch_scalar_of(value, {x, y});
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& outer) {
    return saved_gradients(context, outer, 3);
  }
};

inline at::Tensor torch_score(const at::Tensor& x, const at::Tensor& y, regression_target what,
                              const linearity_options& options, const token_mask& mask) {
  const at::Tensor x_rows = torch_rows(x), y_rows = torch_rows(y);
  if (at::GradMode::is_enabled() && (x_rows.requires_grad() || y_rows.requires_grad()))
    return torch_linearity::apply(x_rows, y_rows, what, options, mask);
  return torch_scalar_of(what == regression_target::output ? linearity_score(x_rows, y_rows, options, mask)
                                                           : residual_linearity_score(x_rows, y_rows, options, mask),
                         {x_rows, y_rows});
}

}  // namespace detail

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
