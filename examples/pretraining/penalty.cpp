#include "penalty.hpp"

#include <layerwise/interop/torch_autograd.hpp>

#include <fmt/format.h>

#include <cmath>

namespace pretraining {

at::Tensor penalize(const penalty_options& o, double share, const std::vector<at::Tensor>& states) {
  const double lambda = share * o.lambda;
  const auto with = [&](auto regularizer) {
    regularizer.layers = o.layers;
    if (o.stop_gradient) regularizer.stop_gradient = layerwise::stop_gradient::before;
    return layerwise::penalty(regularizer, states);
  };
  switch (o.kind) {
    case regularizer_kind::mse:
      return with(layerwise::mse_regularizer{.lambda = lambda});
    case regularizer_kind::cosine:
      return with(layerwise::cosine_regularizer{.lambda = lambda});
    case regularizer_kind::jreg:
      return with(layerwise::jreg_regularizer{.lambda = lambda, .alpha = o.alpha});
    default:
      return at::zeros({});
  }
}

std::string label_of(const penalty_options& o) {
  if (o.kind == regularizer_kind::none) return "none";
  std::string text = o.kind == regularizer_kind::mse ? "mse" : o.kind == regularizer_kind::cosine ? "cosine" : "jreg";
  text += fmt::format(", λ = {:g}", o.lambda);
  if (o.kind == regularizer_kind::jreg)
    text += std::isinf(o.alpha) ? (o.alpha > 0 ? ", α = ∞" : ", α = −∞") : fmt::format(", α = {:g}", o.alpha);
  if (o.layers.first != 1 || o.layers.last)
    text += fmt::format(", layers {} to {}", o.layers.first, o.layers.last ? std::to_string(*o.layers.last) : "L");
  if (o.schedule == lambda_schedule::linear) text += ", warmed up";
  if (o.stop_gradient) text += ", stop-gradient";
  return text;
}

}  // namespace pretraining
