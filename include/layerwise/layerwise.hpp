// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Everything but interop/.

#include <layerwise/angle.hpp>
#include <layerwise/embedding.hpp>
#include <layerwise/error.hpp>
#include <layerwise/jump.hpp>
#include <layerwise/least_squares.hpp>
#include <layerwise/linearity.hpp>
#include <layerwise/linearity_gradient.hpp>
#include <layerwise/moments.hpp>
#include <layerwise/procrustes.hpp>
#include <layerwise/profile.hpp>
#include <layerwise/regularizer.hpp>
#include <layerwise/residual.hpp>
#include <layerwise/token_mask.hpp>
#include <layerwise/version.hpp>
#include <layerwise/view.hpp>
