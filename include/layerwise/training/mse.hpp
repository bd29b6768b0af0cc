// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/training/detail/squared_step.hpp>
#include <layerwise/training/penalty.hpp>

/// @file
/// The MSE regularizer, which draws neighbouring layers together.
namespace layerwise::inline LAYERWISE_ABI {

/// The MSE regularizer of arXiv 2405.12250: lambda * sum_{l=1}^{L} ||h_l - h_{l-1}||^2. Mean (or sum) over tokens; the
/// square of a row's norm is the sum over its d dimensions.
///
/// Gradient with respect to h_l: 2 lambda ((h_l - h_{l-1}) - (h_{l+1} - h_l)), at both ends only the part that exists,
/// divided by the number of tokens for the mean. The value is >= 0 for lambda >= 0, in squared units of the states.
/// States that do not change from layer to layer give 0.
struct mse_regularizer {
  double lambda;                                                            ///< weight, finite; the paper: 0.5 and 2.0
  layerwise::reduction reduction = layerwise::reduction::mean;              ///< over tokens
  layer_range layers = {};                                                  ///< that take part
  layerwise::stop_gradient stop_gradient = layerwise::stop_gradient::none;  ///< of two neighbours

  /// The value alone. Arguments, errors and cost: penalty.hpp.
  double value(const hidden_states auto& states, const token_mask& mask = {}) const {
    return detail::regularize(*this, states, mask);
  }
  /// Returns the value and adds its gradients.
  double value_and_gradient(const hidden_states auto& states, hidden_state_gradients auto&& gradients,
                            const token_mask& mask = {}) const {
    return detail::regularize(*this, states, mask, gradients);
  }

  /// For penalty().
  detail::squared_step_term term(index, const detail::term_scale& scale) const {
    return detail::squared_step_term(scale);
  }
};

}  // namespace layerwise::inline LAYERWISE_ABI
