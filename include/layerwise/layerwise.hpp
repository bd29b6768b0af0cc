// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Everything but interop/.

#include <layerwise/core.hpp>
#include <layerwise/data.hpp>
#include <layerwise/metrics.hpp>
#include <layerwise/profile.hpp>
#include <layerwise/solve.hpp>
#include <layerwise/statistics.hpp>
#include <layerwise/training.hpp>
