#include "measure.hpp"

#include "walk.hpp"

#include "dumps/token_choice.hpp"
#include "dumps/whole_layer.hpp"
#include "report/progress_bar.hpp"

#include <layerwise/metrics.hpp>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace examples::layerwise_profile {
namespace {

layerwise::layer_profile stream(const token_walk& walk, layerwise::profile_options options,
                                const moments_observer& observe) {
  if (options.method == layerwise::solver::orthogonal) options.method = layerwise::solver::automatic;
  // Of the last layer the profile itself asks nothing.
  options.second_moments = observe ? layerwise::second_moments::both : layerwise::second_moments::input;
  layerwise::layer_profiler profiler(options);
  walk.each([&](const auto& states, const auto& mask) { profiler.add(states, mask); });
  if (observe) observe(profiler.moments(), walk.first_state);
  return profiler.profile();
}

/// The moments are gone through once and thrown away; but the files are still there, and what the moments
/// leave in doubt can be computed from them again.
void retake_doubtful_scores(layerwise::layer_profile& profile, const layer_stack& stack,
                            const layerwise::profile_options& options) {
  const bool all = options.method == layerwise::solver::orthogonal;
  if (!all && options.method != layerwise::solver::automatic) return;
  const auto in_doubt = [&](const std::optional<layerwise::linearity_result>& result) {
    return result && (all || result->error_bound > options.tolerance);
  };

  std::vector<index> layers;
  for (index layer = 1; layer <= stack.layers(); ++layer) {
    const auto& metrics = profile.layers[static_cast<std::size_t>(layer - 1)];
    if (in_doubt(metrics.linearity) || in_doubt(metrics.residual_linearity)) layers.push_back(layer);
  }
  if (layers.empty()) return;

  const layerwise::linearity_options scoring{options.centering, options.method, options.tolerance};
  const layerwise::token_mask mask = mask_of(stack);
  report::progress_bar progress(std::ssize(layers), "layers once more");
  for (const auto layer : layers) {
    const dumps::whole_layer before(stack, layer - 1), after(stack, layer);
    auto& metrics = profile.layers[static_cast<std::size_t>(layer - 1)];
    if (in_doubt(metrics.linearity))
      metrics.linearity = layerwise::linearity(before.matrix(), after.matrix(), scoring, mask);
    if (in_doubt(metrics.residual_linearity))
      metrics.residual_linearity = layerwise::residual_linearity(before.matrix(), after.matrix(), scoring, mask);
    progress.advance(1);
  }
}

}  // namespace

index default_batch_tokens(const layer_stack& stack) {
  constexpr double target = 0x1p26;
  const double token = static_cast<double>(size_of(stack.dtype)) * static_cast<double>(stack.dimensions) *
                       static_cast<double>(stack.states);
  return static_cast<index>(std::clamp(target / token, 256.0, 4096.0));
}

layerwise::layer_profile measure(const layer_stack& stack, const layerwise::profile_options& options,
                                 const pass_options& pass, const moments_observer& observe) {
  const index group = pass.pairs_in_turn ? 1 : stack.layers();
  report::progress_bar progress(stack.tokens * ((stack.layers() + group - 1) / group), "tokens");
  layerwise::layer_profile profile;
  for (index first = 0; first < stack.layers(); first += group) {
    const auto some = some_layers(stack, first, std::min(first + group, stack.layers()));
    auto part = stream({some, stack, first, pass.batch_tokens, progress}, options, observe);
    part.layers.insert(part.layers.begin(), profile.layers.begin(), profile.layers.end());
    profile = std::move(part);
  }
  std::vector<double> displacements;
  for (const auto& layer : profile.layers) displacements.push_back(layer.displacement);
  if (displacements.size() > 1) {
    const auto rates = layerwise::jump_rates(displacements);
    for (std::size_t l = 1; l < profile.layers.size(); ++l) profile.layers[l].jump_rate = rates[l - 1];
  }
  if (options.linearity) retake_doubtful_scores(profile, stack, options);
  return profile;
}

}  // namespace examples::layerwise_profile
