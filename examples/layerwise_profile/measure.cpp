#include "measure.hpp"

#include "progress_bar.hpp"

#include "common/input_error.hpp"
#include "common/memory_limit.hpp"
#include "dumps/batches.hpp"
#include "dumps/token_choice.hpp"
#include "dumps/whole_layer.hpp"
#include "dumps/with_scalar.hpp"

#include <layerwise/metrics.hpp>

#include <fmt/format.h>
#include <Eigen/Core>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace examples::layerwise_profile {
namespace {

/// A few hundred kilobytes of file may have so many dimensions that the moments don't fit into memory; say so
/// before the system ends the process.
void check_memory(const layer_stack& stack, bool linearity, bool pairs_in_turn) {
  const auto limit = available_memory();
  const double needed = memory_needed(stack, linearity, pairs_in_turn);
  if (needed <= limit.bytes) return;
  std::string remedy;
  if (linearity && !pairs_in_turn && memory_needed(stack, true, true) <= limit.bytes)
    remedy += fmt::format("; --pairs-in-turn needs {:.3g} GiB", memory_needed(stack, true, true) / 0x1p30);
  if (linearity && memory_needed(stack, false, pairs_in_turn) <= limit.bytes)
    remedy += fmt::format("{}--no-linearity, for angles and displacements only, {:.3g} GiB",
                          remedy.empty() ? "; " : ", and ", memory_needed(stack, false, pairs_in_turn) / 0x1p30);
  reject(stack.files.front().path, "{} states of {} dimensions need about {:.3g} GiB, got {:.3g} GiB {}{}",
         stack.states, stack.dimensions, needed / 0x1p30, limit.bytes / 0x1p30, limit.set_by, remedy);
}

/// The states [first, last] of the stack as one of their own; nothing is copied but where they lie.
layer_stack some_layers(const layer_stack& stack, index first, index last) {
  layer_stack result{stack.dtype, last - first + 1, stack.tokens, stack.dimensions, stack.shards, {}, {}, {}, {}, {}};
  for (auto& shard : result.shards) shard.states = {shard.states.begin() + first, shard.states.begin() + last + 1};
  return result;
}

/// What the program's options do against it.
std::string with_remedy(std::string what) {
  if (what.find("row of zeros") != std::string::npos)
    what += ": if such tokens are padding, say --mask NAME or FILE (1 for a real token)";
  return what;
}

template <class Scalar>
layerwise::layer_profile stream(const layer_stack& stack, const layer_stack& owner, index first_state,
                                layerwise::profile_options options, index batch_tokens, progress_bar& progress) {
  if (options.method == layerwise::solver::orthogonal) options.method = layerwise::solver::automatic;
  options.second_moments = layerwise::second_moments::input;  // of the last layer nobody asks
  layerwise::layer_profiler profiler(options);
  for (const auto& shard : stack.shards)
    for (index first = 0; first < shard.tokens; first += batch_tokens) {
      const index count = std::min(batch_tokens, shard.tokens - first);
      if (const auto mask = mask_of(shard, first, count)) {
        try {
          profiler.add(dumps::batch<Scalar>(shard, stack.dimensions, first, count).states(), *mask);
        } catch (const layerwise::error& error) {
          reject(shard.path, "in tokens {} to {} (row 0 is token {}{}): {}", first, first + count - 1, first,
                 first_state > 0 ? fmt::format(", layer 0 is state {}", first_state) : "", with_remedy(error.what()));
        }
      }
      owner.release_pages();
      progress.advance(count);
    }
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
  progress_bar progress(std::ssize(layers), "layers once more");
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

double memory_needed(const layer_stack& stack, bool linearity, bool pairs_in_turn) {
  const double d = static_cast<double>(stack.dimensions),
               states = pairs_in_turn ? 2.0 : static_cast<double>(stack.states);
  // A block of 512 tokens a layer waits to be filled; four more are worked in.
  double doubles = (states + 4.0) * 512.0 * d;
  // Of each pair x^T x and x^T t; and, for the pairs that are solved at once, copies of them, a factor and a solution.
  const double at_once = std::min(states - 1.0, static_cast<double>(Eigen::nbThreads()));
  if (linearity) doubles += (2.0 * (states - 1.0) + 5.0 * at_once) * d * d;
  return doubles * sizeof(double);
}

layerwise::layer_profile measure(const layer_stack& stack, const layerwise::profile_options& options,
                                 const pass_options& pass) {
  check_memory(stack, options.linearity, pass.pairs_in_turn);
  const index group = pass.pairs_in_turn ? 1 : stack.layers();
  progress_bar progress(stack.tokens * ((stack.layers() + group - 1) / group), "tokens");
  layerwise::layer_profile profile;
  for (index first = 0; first < stack.layers(); first += group) {
    const auto some = some_layers(stack, first, std::min(first + group, stack.layers()));
    auto part = dumps::with_scalar(stack.dtype, [&](auto scalar) {
      return stream<decltype(scalar)>(some, stack, first, options, pass.batch_tokens, progress);
    });
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
