// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Sums over tokens that the metrics are computed from.

#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/cross_moments.hpp>
