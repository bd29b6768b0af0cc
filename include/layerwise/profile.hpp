// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Every metric of every layer, in one pass.

#include <layerwise/profile/layer_metrics.hpp>
#include <layerwise/profile/layer_profiler.hpp>
#include <layerwise/profile/profile.hpp>
#include <layerwise/profile/profile_options.hpp>
#include <layerwise/profile/profiler_bytes.hpp>
