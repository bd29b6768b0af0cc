#include "measurement/measure.hpp"

#include "dumps/token_choice.hpp"

#include <layerwise/metrics.hpp>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace examples::measurement {
namespace {

layerwise::layer_profile stream(const state_source& source, index first_state, index last_state,
                                layerwise::profile_options options, report::progress_bar& progress,
                                const moments_observer& observe) {
  if (options.method == layerwise::solver::orthogonal) options.method = layerwise::solver::automatic;
  // Of the last layer the profile itself asks nothing.
  options.second_moments = observe ? layerwise::second_moments::both : layerwise::second_moments::input;
  layerwise::layer_profiler profiler(options);
  source.each_batch(states_from(first_state, last_state), progress,
                    [&](const auto& states, const auto& mask) { profiler.add(states, mask); });
  if (observe) observe(profiler.moments(), first_state);
  return profiler.profile();
}

bool in_doubt(const std::optional<layerwise::linearity_result>& result, const layerwise::profile_options& options) {
  if (options.method == layerwise::solver::orthogonal) return result.has_value();
  return options.method == layerwise::solver::automatic && result && result->error_bound > options.tolerance;
}

/// The moments are gone through once and thrown away; but the states can be had again, and what the moments leave in doubt
/// can be computed from them.
void retake_doubtful_scores(layerwise::layer_profile& profile, const state_source& source,
                            const layerwise::profile_options& options) {
  const auto layers = layers_in_doubt(profile, options);
  if (layers.empty() || source.why_no_whole()) return;

  const layerwise::linearity_options scoring{options.centering, options.method, options.tolerance};
  const layerwise::token_mask mask = mask_of(source.stack());
  report::progress_bar progress(std::ssize(layers), "layers once more");
  for (const auto layer : layers) {
    const auto before = source.whole(layer - 1, layers.back()), after = source.whole(layer, layers.back());
    auto& metrics = profile.layers[static_cast<std::size_t>(layer - 1)];
    if (in_doubt(metrics.linearity, options))
      metrics.linearity = layerwise::linearity(before.matrix(), after.matrix(), scoring, mask);
    if (in_doubt(metrics.residual_linearity, options))
      metrics.residual_linearity = layerwise::residual_linearity(before.matrix(), after.matrix(), scoring, mask);
    progress.advance(1);
  }
}

}  // namespace

std::vector<index> layers_in_doubt(const layerwise::layer_profile& profile, const layerwise::profile_options& options) {
  std::vector<index> layers;
  for (index layer = 1; layer <= std::ssize(profile.layers); ++layer) {
    const auto& metrics = profile.layers[static_cast<std::size_t>(layer - 1)];
    if (in_doubt(metrics.linearity, options) || in_doubt(metrics.residual_linearity, options)) layers.push_back(layer);
  }
  return layers;
}

layerwise::layer_profile measure(const state_source& source, const layerwise::profile_options& options,
                                 bool pairs_in_turn, const moments_observer& observe) {
  const index layers = source.stack().layers(), group = pairs_in_turn ? 1 : layers;
  report::progress_bar progress(source.stack().tokens * ((layers + group - 1) / group), "tokens");
  layerwise::layer_profile profile;
  for (index first = 0; first < layers; first += group) {
    auto part = stream(source, first, std::min(first + group, layers), options, progress, observe);
    part.layers.insert(part.layers.begin(), profile.layers.begin(), profile.layers.end());
    profile = std::move(part);
  }
  std::vector<double> displacements;
  for (const auto& layer : profile.layers) displacements.push_back(layer.displacement);
  if (displacements.size() > 1) {
    const auto rates = layerwise::jump_rates(displacements);
    for (std::size_t l = 1; l < profile.layers.size(); ++l) profile.layers[l].jump_rate = rates[l - 1];
  }
  if (options.linearity) retake_doubtful_scores(profile, source, options);
  return profile;
}

}  // namespace examples::measurement
