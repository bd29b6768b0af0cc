// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/detail/config.hpp>

/// @file
/// What sums of squares and products are about.
namespace layerwise::inline LAYERWISE_ABI {

/// Whether the column means are taken out first. `columns` is the definition of arXiv 2405.12250; with `none`
/// a linear map has no bias, and offsets count as signal.
enum class centering {
  columns,  ///< they are
  none,     ///< they are not
};

}  // namespace layerwise::inline LAYERWISE_ABI
