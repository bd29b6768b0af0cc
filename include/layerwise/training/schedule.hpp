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

/// The slanted triangular schedule of ULMFiT (Howard and Ruder 2018, arXiv 1801.06146): a short rise, a long fall. With
/// cut = floor(steps cut_fraction), at step t
///
///     most (1 + p (ratio - 1)) / ratio,  p = t / cut up to the cut, 1 - (t - cut) / (cut (1 / cut_fraction - 1)) from it on
///
/// In [most / ratio, most], and most / ratio before step 0 and after the last. With a cut of 0, of few steps or a tiny
/// fraction, there is no rise: it falls over all steps.
struct slanted_triangular_schedule {
  double most = 0.01;         ///< at the cut
  double steps = 1;           ///< of the whole training, at least 1
  double cut_fraction = 0.1;  ///< of the steps that rise, in (0, 1)
  double ratio = 32;          ///< of the largest value to the smallest, at least 1

  /// The weight at a step, an integer or not.
  template <class Step>
  requires std::is_arithmetic_v<Step>
  double operator()(Step step) const {
    const auto at = static_cast<double>(step);
    const double cut = std::floor(steps * cut_fraction), fall = cut > 0 ? cut * (1 / cut_fraction - 1) : steps;
    const double p = at < cut ? at / cut : 1 - (at - cut) / fall;
    return most * (1 + std::fmax(0.0, p) * (ratio - 1)) / ratio;
  }
};

}  // namespace layerwise::inline LAYERWISE_ABI
