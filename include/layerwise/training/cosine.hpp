// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/training/detail/turn.hpp>
#include <layerwise/training/penalty.hpp>

#include <cstddef>
#include <vector>

/// @file
/// The cosine regularizer, which turns neighbouring layers towards each other.
namespace layerwise::inline LAYERWISE_ABI {

/// The cosine regularizer of arXiv 2405.12250: lambda * sum_{l=1}^{L} (1 - cos(h_l, h_{l-1})). Mean (or sum) over
/// tokens.
///
/// Gradient with respect to h_l: -lambda/||h_l|| * sum over both neighbours v of (v^ - c h^), where ^ is the unit
/// vector and c the cosine; it is orthogonal to h_l. What one neighbour adds has a relative error of a few units of
/// 1e-16 over the angle between them, and of 2e-14 at most, however small the angle is. The value is in [0, 2 lambda L]
/// (L: layers that take part) for the mean and lambda >= 0; states that do not turn give 0. Also throws
/// degenerate_input_error for a row of zeros, which has no direction.
struct cosine_regularizer {
  double lambda;                                                            ///< weight, finite; the paper: 0.5
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

  /// For penalty(): every turn counts alike.
  detail::turn_term term(index last_layer, const detail::term_scale& scale) const {
    return {std::vector<double>(static_cast<std::size_t>(last_layer), 1.), scale};
  }
};

}  // namespace layerwise::inline LAYERWISE_ABI
