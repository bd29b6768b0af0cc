// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Sums over tokens that the metrics are computed from.

#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/cross_moments.hpp>
#include <layerwise/statistics/layer_moments.hpp>
#include <layerwise/statistics/layer_pairs.hpp>
#include <layerwise/statistics/scatter.hpp>
#include <layerwise/statistics/second_moments.hpp>
#include <layerwise/statistics/stack_moments.hpp>
