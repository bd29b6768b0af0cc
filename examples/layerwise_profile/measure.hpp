#pragma once

#include "dumps/layer_stack.hpp"

#include <layerwise/profile.hpp>
#include <layerwise/statistics.hpp>

#include <functional>

namespace examples::layerwise_profile {

using dumps::index;
using dumps::layer_stack;

/// How the stack is gone through.
struct pass_options {
  index batch_tokens;
  bool pairs_in_turn = false;  // the moments of one pair of layers at a time; each layer is then read twice
};

/// Called with moments, those of the states from `first_state` on, while they are kept: of all once, or of one pair after
/// the other.
using moments_observer = std::function<void(const layerwise::stack_moments&, index first_state)>;

/// Streams the stack through a layer_profiler, a batch at a time, and lets go of the pages behind it.
/// Memory: the profiler's moments and one batch, however many tokens there are.
///
/// Scores that the moments can't give to options.tolerance are then taken from the data, layer by layer, in a
/// second pass; all of them with solver::orthogonal. Throws input_error, also for what the library has to say
/// against the data. Memory is checked before, by check_memory().
layerwise::layer_profile measure(const layer_stack& stack, const layerwise::profile_options& options,
                                 const pass_options& pass, const moments_observer& observe = {});

/// As many tokens as make a batch of about 64 MiB, from 256 to 4096.
index default_batch_tokens(const layer_stack& stack);

}  // namespace examples::layerwise_profile
