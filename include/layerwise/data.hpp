// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What can be read as hidden states: matrices, views, masks.

#include <layerwise/data/any_view.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/epsilon_position.hpp>
#include <layerwise/data/hidden_states_view.hpp>
#include <layerwise/data/normalized.hpp>
#include <layerwise/data/stack_batch.hpp>
#include <layerwise/data/strided_view.hpp>
#include <layerwise/data/token_mask.hpp>
