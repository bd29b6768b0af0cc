// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The metrics, a header each.

#include <layerwise/metrics/angular_distance.hpp>
#include <layerwise/metrics/canonical_correlations.hpp>
#include <layerwise/metrics/collapse_indices.hpp>
#include <layerwise/metrics/contribution_ratio.hpp>
#include <layerwise/metrics/cosine_similarity.hpp>
#include <layerwise/metrics/displacement.hpp>
#include <layerwise/metrics/fast_weight.hpp>
#include <layerwise/metrics/jump_rate.hpp>
#include <layerwise/metrics/linear_cka.hpp>
#include <layerwise/metrics/linearity.hpp>
#include <layerwise/metrics/procrustes.hpp>
#include <layerwise/metrics/procrustes_normalize.hpp>
#include <layerwise/metrics/pwcca.hpp>
#include <layerwise/metrics/residual_update.hpp>
#include <layerwise/metrics/svcca.hpp>
