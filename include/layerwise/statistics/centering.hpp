// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>

/// @file
/// What sums of squares and products are about.
namespace layerwise::inline LAYERWISE_ABI {

/// Whether the column means are taken out first. `columns` is the definition of arXiv 2405.12250; with `none`
/// a linear map has no bias, and offsets count as signal.
enum class centering {
  columns,  ///< sums are about the means of the columns
  none,     ///< sums are about 0
};

namespace detail {

/// Of n tokens, one less where the means are taken out: no rank exceeds it.
inline index degrees_of_freedom(index tokens, centering center) {
  return tokens - (center == centering::columns ? 1 : 0);
}

}  // namespace detail

}  // namespace layerwise::inline LAYERWISE_ABI
