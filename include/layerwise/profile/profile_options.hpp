// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/profile/layer_metrics.hpp>
#include <layerwise/solve/linearity_options.hpp>
#include <layerwise/solve/solver.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/layer_pairs.hpp>
#include <layerwise/statistics/second_moments.hpp>

/// @file
/// How a profile is taken.
namespace layerwise::inline LAYERWISE_ABI {

/// How a profile is taken; see linearity_options for the first three.
struct profile_options {
  layerwise::centering centering = layerwise::centering::columns;  ///< of the linearities
  solver method = solver::automatic;                               ///< of their regressions
  double tolerance = 1e-8;                                         ///< of both scores of a layer
  /// What the profile says of h_L.
  layerwise::final_norm final_norm = layerwise::final_norm::unspecified;
  /// False leaves both linearities out, empty in every layer: angles and the like cost O(n d), and no O(d^2) memory.
  bool linearity = true;
  /// Of the moments that layer_profiler::moments() gives: `both` keeps those of the last layer, too, d^2 doubles and
  /// n d^2 flops. profile() keeps no moments, and does not look at it.
  layerwise::second_moments second_moments = layerwise::second_moments::both;
};

namespace detail {

/// Throws option_error for a tolerance that is not finite or below 0.
inline void check(const profile_options& options) {
  check(linearity_options{.centering = options.centering, .method = options.method, .tolerance = options.tolerance});
}

/// The pairs of layers that moments are taken of.
inline layer_pairs pairs_of(const profile_options& options) {
  return options.linearity ? layer_pairs::neighbours() : layer_pairs::none();
}

}  // namespace detail
}  // namespace layerwise::inline LAYERWISE_ABI
