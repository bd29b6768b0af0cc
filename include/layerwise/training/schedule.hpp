// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/detail/config.hpp>

#include <cmath>
#include <type_traits>

/// @file
/// Weights that change with the steps of a training.
namespace layerwise::inline LAYERWISE_ABI {

/// A weight that changes with the steps of a training: `from` up to step `begin`, `to` from step `end` on, on a line
/// between them. Set a regularizer's lambda to it:
///
///     const layerwise::linear_schedule warm_up{.from = 0, .to = 0.5, .begin = 0, .end = 200};
///     const layerwise::cosine_regularizer regularizer{.lambda = warm_up(step)};
///
/// All four are finite, of any size. For end <= begin it jumps to `to` at step `end`.
struct linear_schedule {
  double from = 0;   ///< up to step begin
  double to = 1;     ///< from step end on
  double begin = 0;  ///< the last step of `from`
  double end = 0;    ///< the first step of `to`

  /// The weight at a step, an integer or not.
  template <class Step>
  requires std::is_arithmetic_v<Step>
  double operator()(Step step) const {
    const auto at = static_cast<double>(step);
    if (at >= end) return to;
    if (at <= begin) return from;
    // Halved only where the difference overflows: halving would lose the last bit of the smallest numbers.
    const double steps = end - begin;
    return std::lerp(from, to,
                     std::isfinite(steps) ? (at - begin) / steps : (at / 2 - begin / 2) / (end / 2 - begin / 2));
  }
};

}  // namespace layerwise::inline LAYERWISE_ABI
