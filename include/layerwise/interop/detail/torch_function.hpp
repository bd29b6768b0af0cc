// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/interop/torch.hpp>
#include <layerwise/metrics/linearity.hpp>
#include <layerwise/solve/linearity_options.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>
#include <layerwise/training/detail/score_gradient.hpp>

// Before ATen.h: clang does not compile libtorch 1.13 as C++20 without it.
#include <ATen/core/ivalue.h>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstddef>
#include <utility>
#include <vector>

// Regularizers and linearity scores as functions of autograd.
namespace layerwise::inline LAYERWISE_ABI::detail {

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

}  // namespace layerwise::inline LAYERWISE_ABI::detail
