#include "measure.hpp"

#include "batches.hpp"
#include "input_error.hpp"
#include "progress_bar.hpp"
#include "whole_layer.hpp"
#include "with_scalar.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include <unistd.h>

namespace layerwise_profile {
namespace {

/// A few hundred kilobytes of file may have so many dimensions that the moments don't fit into memory; say so
/// before the system ends the process.
void check_memory(const layer_stack& stack) {
  // For each layer its own second moments and those with its neighbour and the update: some 3 d^2 doubles.
  const double dimensions = static_cast<double>(stack.dimensions);
  const double needed = 3.0 * sizeof(double) * dimensions * dimensions * static_cast<double>(stack.states);
  const double available =
      static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  if (needed > available)
    reject(stack.files.front().path,
           "{} states of {} dimensions need about {:.3g} GiB for their moments, got {:.3g} GiB of memory",
           stack.states, stack.dimensions, needed / 0x1p30, available / 0x1p30);
}

template <class Scalar>
layerwise::layer_profile stream(const layer_stack& stack, const token_choice& choice,
                                layerwise::profile_options options, index batch_tokens) {
  if (options.method == layerwise::solver::orthogonal) options.method = layerwise::solver::automatic;
  layerwise::layer_profiler profiler(options);
  progress_bar progress(stack.tokens, "tokens");
  for (const auto& shard : stack.shards)
    for (index first = 0; first < shard.tokens; first += batch_tokens) {
      const index count = std::min(batch_tokens, shard.tokens - first);
      if (const auto mask = choice.mask(first, count, shard.tokens)) {
        try {
          profiler.add(batch<Scalar>(shard, stack.dimensions, first, count).states(), *mask);
        } catch (const layerwise::error& error) {
          reject(shard.path, "in tokens {} to {} (row 0 is token {}): {}", first, first + count - 1, first,
                 error.what());
        }
      }
      stack.release_pages();
      progress.advance(count);
    }
  if (profiler.tokens() == 0)
    reject(stack.files.front().path,
           "expected tokens to profile, got none of {}: --skip-first leaves out all", stack.tokens);
  return profiler.profile();
}

/// The moments are gone through once and thrown away; but the files are still there, and what the moments
/// leave in doubt can be computed from them again.
void retake_doubtful_scores(layerwise::layer_profile& profile, const layer_stack& stack,
                            const token_choice& choice, const layerwise::profile_options& options) {
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

  const layerwise::linearity_options scoring{options.centering, options.method, options.tolerance,
                                             choice.mask(stack)};
  progress_bar progress(std::ssize(layers), "layers once more");
  for (const auto layer : layers) {
    const whole_layer before(stack, layer - 1), after(stack, layer);
    auto& metrics = profile.layers[static_cast<std::size_t>(layer - 1)];
    if (in_doubt(metrics.linearity))
      metrics.linearity = layerwise::linearity(before.matrix(), after.matrix(), scoring);
    if (in_doubt(metrics.residual_linearity))
      metrics.residual_linearity = layerwise::residual_linearity(before.matrix(), after.matrix(), scoring);
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

layerwise::layer_profile measure(const layer_stack& stack, const token_choice& choice,
                                 const layerwise::profile_options& options, index batch_tokens) {
  check_memory(stack);
  auto profile = with_scalar(stack.dtype, [&](auto scalar) {
    return stream<decltype(scalar)>(stack, choice, options, batch_tokens);
  });
  retake_doubtful_scores(profile, stack, choice, options);
  return profile;
}

}  // namespace layerwise_profile
