// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The metrics, a header each.

#include <layerwise/metrics/angular_distance.hpp>
#include <layerwise/metrics/angular_distance_matrix.hpp>
#include <layerwise/metrics/block_influence.hpp>
#include <layerwise/metrics/canonical_correlations.hpp>
#include <layerwise/metrics/cka_matrix.hpp>
#include <layerwise/metrics/collapse_indices.hpp>
#include <layerwise/metrics/condition_number.hpp>
#include <layerwise/metrics/contribution_ratio.hpp>
#include <layerwise/metrics/cosine_similarity.hpp>
#include <layerwise/metrics/curvature.hpp>
#include <layerwise/metrics/debiased_linear_cka.hpp>
#include <layerwise/metrics/displacement.hpp>
#include <layerwise/metrics/fast_weight.hpp>
#include <layerwise/metrics/hypersphere.hpp>
#include <layerwise/metrics/intrinsic_dimension.hpp>
#include <layerwise/metrics/jump_rate.hpp>
#include <layerwise/metrics/linear_cka.hpp>
#include <layerwise/metrics/linear_predictivity.hpp>
#include <layerwise/metrics/linearity.hpp>
#include <layerwise/metrics/massive_activations.hpp>
#include <layerwise/metrics/mean_pairwise_cosine.hpp>
#include <layerwise/metrics/mutual_knn.hpp>
#include <layerwise/metrics/norm_distribution.hpp>
#include <layerwise/metrics/norm_growth.hpp>
#include <layerwise/metrics/pairwise_cosines.hpp>
#include <layerwise/metrics/path_efficiency.hpp>
#include <layerwise/metrics/procrustes.hpp>
#include <layerwise/metrics/procrustes_normalize.hpp>
#include <layerwise/metrics/pwcca.hpp>
#include <layerwise/metrics/rank_collapse.hpp>
#include <layerwise/metrics/representational_similarity.hpp>
#include <layerwise/metrics/residual_update.hpp>
#include <layerwise/metrics/ridge_linearity.hpp>
#include <layerwise/metrics/spectrum.hpp>
#include <layerwise/metrics/svcca.hpp>
