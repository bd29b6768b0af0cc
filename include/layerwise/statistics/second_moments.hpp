// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/detail/config.hpp>

/// @file
/// Which second moments of a pair of layers are kept.
namespace layerwise::inline LAYERWISE_ABI {

/// Of a pair (x, y) the linearities need x^T x and x^T y; CKA, CCA and Procrustes y^T y, too.
enum class second_moments {
  input,  ///< x^T x and x^T y
  both,   ///< y^T y, too: n d^2 flops and d^2 doubles more, once a layer
};

}  // namespace layerwise::inline LAYERWISE_ABI
