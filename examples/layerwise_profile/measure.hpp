#pragma once

#include "layer_stack.hpp"
#include "token_choice.hpp"

#include <layerwise/profile.hpp>

namespace layerwise_profile {

/// Streams the stack through a layer_profiler, `batch_tokens` at a time, and lets go of the pages behind it.
/// Memory: the profiler's moments and one batch, however many tokens there are.
///
/// Scores that the moments can't give to options.tolerance are then taken from the data, layer by layer, in a
/// second pass; all of them with solver::orthogonal. Throws input_error, also for what the library has to say
/// against the data.
layerwise::layer_profile measure(const layer_stack& stack, const token_choice& choice,
                                 const layerwise::profile_options& options, index batch_tokens);

/// As many tokens as make a batch of about 64 MiB, from 256 to 4096.
index default_batch_tokens(const layer_stack& stack);

}  // namespace layerwise_profile
