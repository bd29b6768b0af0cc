// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a training adds to its loss, with gradients.

#include <layerwise/training/cosine.hpp>
#include <layerwise/training/jreg.hpp>
#include <layerwise/training/linearity_gradient.hpp>
#include <layerwise/training/mse.hpp>
#include <layerwise/training/penalty.hpp>
#include <layerwise/training/schedule.hpp>
