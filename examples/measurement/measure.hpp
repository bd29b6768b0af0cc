#pragma once

#include "measurement/state_source.hpp"

#include <layerwise/profile.hpp>
#include <layerwise/statistics.hpp>

#include <functional>
#include <vector>

namespace examples::measurement {

/// Called with moments, those of the states from `first_state` on, while they are kept: of all once, or of one pair after
/// the other.
using moments_observer = std::function<void(const layerwise::stack_moments&, index first_state)>;

/// Streams the states through a layer_profiler, a batch at a time; with `pairs_in_turn` the moments of one pair of layers
/// at a time are kept, and each state is gone through twice. Memory: the profiler's moments and one batch, however many
/// tokens there are.
///
/// Scores that the moments can't give to options.tolerance are then taken from the data, layer by layer, in a
/// second pass; all of them with solver::orthogonal. Throws input_error, also for what the library has to say
/// against the data. Memory is checked before, by check_memory(). Where the source can't give whole states for want of
/// it, the scores of the moments stay, with their bounds.
layerwise::layer_profile measure(const state_source& source, const layerwise::profile_options& options,
                                 bool pairs_in_turn, const moments_observer& observe = {});

/// The layers, from 1, with a score that moments can't give to the tolerance; all of them with
/// solver::orthogonal.
std::vector<index> layers_in_doubt(const layerwise::layer_profile& profile, const layerwise::profile_options& options);

}  // namespace examples::measurement
