#include "penalty.hpp"

#include <layerwise/interop/torch_autograd.hpp>

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <stdexcept>

namespace pretraining {
namespace {

at::Tensor penalize_all(const penalty_options& o, double lambda, at::TensorList states) {
  switch (o.kind) {
    case regularizer_kind::mse:
      return layerwise::penalty(layerwise::mse_regularizer{.lambda = lambda}, states);
    case regularizer_kind::cosine:
      return layerwise::penalty(layerwise::cosine_regularizer{.lambda = lambda}, states);
    case regularizer_kind::jreg:
      return layerwise::penalty(layerwise::jreg_regularizer{.lambda = lambda, .alpha = o.alpha}, states);
    default:
      return at::zeros({});
  }
}

/// The weight of layer i of `layers`, counted from 1, in the sum over layers.
double weight_of(const penalty_options& o, std::size_t i, std::size_t layers) {
  if (o.kind != regularizer_kind::jreg) return 1;
  const auto from_first = [&](std::size_t k) { return static_cast<double>(k) - static_cast<double>(i); };
  double sum = 0;  // of the other weights in units of this one
  for (std::size_t k = 1; k <= layers; ++k) sum += k == i ? 1 : std::exp(o.alpha * from_first(k));
  return 1 / sum;
}

/// Every pair on its own, its first state a constant.
at::Tensor penalize_pairs(const penalty_options& o, double lambda, at::TensorList states) {
  at::Tensor sum = at::zeros({});
  for (std::size_t i = 1; i < states.size(); ++i)
    if (const double weight = weight_of(o, i, states.size() - 1); weight > 0)
      sum = sum + penalize_all(o, weight * lambda, {states[i - 1].detach(), states[i]});
  return sum;
}

}  // namespace

at::Tensor penalize(const penalty_options& o, double share, const std::vector<at::Tensor>& states) {
  const auto layers = static_cast<std::int64_t>(states.size()) - 1;
  const std::int64_t last = o.last_layer == -1 ? layers : o.last_layer;
  if (o.first_layer < 1 || o.first_layer > last || last > layers)
    throw std::invalid_argument(fmt::format("expected 1 <= first layer <= last layer <= {}, got {} and {}",
                                            layers, o.first_layer, last));
  const auto part = at::TensorList(states).slice(static_cast<std::size_t>(o.first_layer - 1),
                                                 static_cast<std::size_t>(last - o.first_layer + 2));
  const double lambda = share * o.lambda;
  return o.stop_gradient ? penalize_pairs(o, lambda, part) : penalize_all(o, lambda, part);
}

std::string label_of(const penalty_options& o) {
  if (o.kind == regularizer_kind::none) return "none";
  std::string text = o.kind == regularizer_kind::mse      ? "mse"
                     : o.kind == regularizer_kind::cosine ? "cosine"
                                                          : "jreg";
  text += fmt::format(", λ = {:g}", o.lambda);
  if (o.kind == regularizer_kind::jreg)
    text += std::isinf(o.alpha) ? (o.alpha > 0 ? ", α = ∞" : ", α = −∞") : fmt::format(", α = {:g}", o.alpha);
  if (o.first_layer != 1 || o.last_layer != -1)
    text += fmt::format(", layers {} to {}", o.first_layer,
                        o.last_layer == -1 ? "L" : std::to_string(o.last_layer));
  if (o.schedule == lambda_schedule::linear) text += ", warmed up";
  if (o.stop_gradient) text += ", stop-gradient";
  return text;
}

}  // namespace pretraining
