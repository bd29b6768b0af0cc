// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/metrics/linearity.hpp>
#include <layerwise/statistics/centering.hpp>

#include <optional>
#include <vector>

/// @file
/// What a profile says of each layer.
namespace layerwise::inline LAYERWISE_ABI {

/// Everything about one layer l = 1..L, which turns h_{l-1} into h_l. An empty optional is undefined for this
/// layer.
struct layer_metrics {
  /// s(h_{l-1}, h_l), with the residual stream. Empty if h_{l-1} or h_l has no variance, or if it was not asked for.
  std::optional<linearity_result> linearity;
  /// s(h_{l-1}, h_l - h_{l-1}), without. Empty if h_{l-1} or the update has no variance, or if it was not asked for.
  std::optional<linearity_result> residual_linearity;
  /// Token mean of (1 - cos(h_{l-1}, h_l)) / 2, in [0, 1].
  double displacement = 0.0;
  /// Token mean of the angle between h_{l-1} and h_l over pi, in [0, 1].
  double angular_distance = 0.0;
  /// Token mean of cos(h_{l-1}, h_l), in [-1, 1].
  double cosine_similarity = 0.0;
  /// Token mean of ||h_l - h_{l-1}|| / ||h_l||, >= 0.
  double contribution_ratio = 0.0;
  /// ||h_l - h_{l-1}||_F / ||h_l||_F, >= 0.
  double contribution_ratio_frobenius = 0.0;
  /// zeta_l in per cent of displacement; empty for l = 1. The last layer's is the final jump.
  std::optional<double> jump_rate;
  /// The share of h_l's variance in its largest dimension, in (0, 1]. 1/d if all are alike; near 1 the
  /// scores are about one dimension only. Empty if h_l has no variance.
  std::optional<double> outlier_share;
  /// Which dimension that is, 0..d-1.
  std::optional<index> outlier_dimension;
};

/// The fields of a layer's metrics; what is not said of units is a pure number.
template <>
inline constexpr auto fields<layer_metrics> = field_list(
    field{"linearity", &layer_metrics::linearity, "linearity with the residual stream, s(h_{l-1}, h_l)"},
    field{"residual_linearity", &layer_metrics::residual_linearity,
          "linearity without the residual stream, s(h_{l-1}, h_l - h_{l-1})"},
    field{"displacement", &layer_metrics::displacement, "token mean of (1 - cos(h_{l-1}, h_l)) / 2"},
    field{"jump_rate", &layer_metrics::jump_rate,
          "what the displacement rises by from layer l - 1 to the last, in per cent"},
    field{"angular_distance", &layer_metrics::angular_distance,
          "token mean of the angle between h_{l-1} and h_l over pi"},
    field{"cosine_similarity", &layer_metrics::cosine_similarity, "token mean of cos(h_{l-1}, h_l)"},
    field{"contribution_ratio", &layer_metrics::contribution_ratio, "token mean of ||h_l - h_{l-1}|| / ||h_l||"},
    field{"contribution_ratio_frobenius", &layer_metrics::contribution_ratio_frobenius,
          "||h_l - h_{l-1}||_F / ||h_l||_F"},
    field{"outlier_share", &layer_metrics::outlier_share, "share of h_l's variance in its largest dimension"},
    field{"outlier_dimension", &layer_metrics::outlier_dimension, "which dimension that is"});

/// Whether h_L was taken before or after the model's final normalization. Nothing is computed from it: it is
/// a label that a profile carries, because the last layer's numbers mean different things. (Hugging Face's
/// last hidden state is after it.)
enum class final_norm {
  unspecified,  ///< not known, or not said
  before,       ///< h_L is the last block's output
  after,        ///< h_L is the normalized output
};

/// The profile of a stack h_0 ... h_L.
struct layer_profile {
  std::vector<layer_metrics> layers;                                      ///< layers[l - 1] is layer l, l = 1..L
  index tokens = 0;                                                       ///< those that took part
  index dimensions = 0;                                                   ///< d
  layerwise::centering centering = layerwise::centering::columns;         ///< of the linearities, as in the options
  layerwise::final_norm final_norm = layerwise::final_norm::unspecified;  ///< as in the options
};

}  // namespace layerwise::inline LAYERWISE_ABI
