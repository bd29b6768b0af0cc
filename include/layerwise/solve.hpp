// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Linear maps between hidden states, and how they are fitted.

#include <layerwise/solve/linear_map.hpp>
#include <layerwise/solve/linearity_options.hpp>
#include <layerwise/solve/solver.hpp>
