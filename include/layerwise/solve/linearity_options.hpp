// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/solve/solver.hpp>
#include <layerwise/statistics/centering.hpp>

#include <cmath>

/// @file
/// What may be chosen of a linearity, of its map and of its gradients.
namespace layerwise::inline LAYERWISE_ABI {

/// How a linearity is measured. Every default is what arXiv 2405.12250 does, to full accuracy.
struct linearity_options {
  /// columns: the map has a bias, scores are about the means. none: neither.
  layerwise::centering centering = layerwise::centering::columns;
  /// How the regression is solved; linearity_result::method tells what was used.
  solver method = solver::automatic;
  /// The largest error_bound, in units of the score, that solver::automatic takes from the moments before it
  /// turns to the data. It stops at the first bound that will do: a smaller tolerance gives a sharper one. Finite,
  /// >= 0; anything else is an option_error.
  double tolerance = 1e-8;
};

namespace detail {

inline void check(const linearity_options& options) {
  if (!(options.tolerance >= 0.0 && std::isfinite(options.tolerance)))
    fail<option_error>("a finite tolerance >= 0", text(options.tolerance), {.operand = "linearity_options"});
}

/// Throws option_error for a method that needs the data, where that is gone.
inline void require_moments_suffice(solver method) {
  if (method == solver::orthogonal)
    fail<option_error>("a method that works on moments", "solver::orthogonal, which needs the data",
                       {.operand = "linearity_options"});
}

}  // namespace detail
}  // namespace layerwise::inline LAYERWISE_ABI
