// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/training/detail/turn.hpp>
#include <layerwise/training/penalty.hpp>

#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

/// @file
/// JREG, the jump regularizer.
namespace layerwise::inline LAYERWISE_ABI {

/// JREG of arXiv 2601.18302: lambda * sum_{l=1}^{L} w_l Psi_l with the displacement Psi_l = (1 - cos(h_{l-1}, h_l))/2
/// and w = softmax(alpha * (1, ..., L)). Mean (or sum) over tokens.
///
/// alpha = 0 is the plain mean over layers. alpha -> infinity, and alpha = infinity is allowed, is the final layer
/// only, which moves the jump one layer earlier rather than removing it; alpha = -infinity the first layer only. The
/// value is in [0, lambda] for the mean and lambda >= 0; states that do not turn give 0. Gradient: w_l/2 times that of
/// the cosine regularizer's term. Also throws degenerate_input_error for a row of zeros, non_finite_error for alpha
/// NaN.
struct jreg_regularizer {
  double lambda;  ///< weight, finite; no published default
  double alpha;   ///< how much the late layers count, any number but NaN; no published default
  layerwise::reduction reduction = layerwise::reduction::mean;  ///< over tokens
  layer_range layers = {};                                      ///< that take part; the softmax is over them
  layerwise::stop_gradient stop_gradient = layerwise::stop_gradient::none;  ///< of two neighbours

  /// w_1, ..., w_L for states h_0 ... h_L, L = last_layer; 0 for layers that take no part. Throws option_error for a
  /// range of layers that do not exist (for any, where L < 1), non_finite_error for alpha NaN.
  std::vector<double> weights(index last_layer) const;

  /// The value alone. Arguments, errors and cost: penalty.hpp.
  double value(const hidden_states auto& states, const token_mask& mask = {}) const {
    return detail::regularize(*this, states, mask);
  }
  /// Returns the value and adds its gradients.
  double value_and_gradient(const hidden_states auto& states, hidden_state_gradients auto&& gradients,
                            const token_mask& mask = {}) const {
    return detail::regularize(*this, states, mask, gradients);
  }

  /// For penalty(): Psi is half of 1 - cos.
  detail::turn_term term(index last_layer, const detail::term_scale& scale) const {
    std::vector<double> halves = weights(last_layer);
    for (double& weight : halves) weight /= 2;
    return {std::move(halves), scale};
  }
};

inline std::vector<double> jreg_regularizer::weights(index last_layer) const {
  if (std::isnan(alpha)) detail::fail<non_finite_error>("a number", detail::text(alpha), {.operand = "alpha"});
  const auto [first, last] = detail::resolve(layers, last_layer);
  const index largest = alpha > 0 ? last : first;
  std::vector<double> w(static_cast<std::size_t>(last_layer), 0.);
  double sum = 0;
  for (index l = first; l <= last; ++l) {
    // At the largest itself, infinity times 0 would be NaN.
    const double share = l == largest ? 1 : std::exp(alpha * static_cast<double>(l - largest));
    detail::at(w, l - 1) = share;
    sum += share;
  }
  for (double& weight : w) weight /= sum;
  return w;
}

}  // namespace layerwise::inline LAYERWISE_ABI
