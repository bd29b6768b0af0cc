// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/detail/config.hpp>

/// @file
/// Where a normalization has its epsilon.
namespace layerwise::inline LAYERWISE_ABI {

/// Where a normalization's epsilon is added.
enum class epsilon_position {
  inside_root,   ///< x / sqrt(mean(x^2) + epsilon): LLaMA, T5, PyTorch
  outside_root,  ///< x / (sqrt(mean(x^2)) + epsilon): the code of Zhang and Sennrich
};

}  // namespace layerwise::inline LAYERWISE_ABI
