#include "measurement/dumped_states.hpp"

#include "dumps/batches.hpp"
#include "dumps/token_choice.hpp"
#include "dumps/with_scalar.hpp"

#include <layerwise/core.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace examples::measurement {
namespace {

/// What the programs' options do against it.
std::string with_remedy(std::string what) {
  if (what.find("row of zeros") != std::string::npos)
    what += ": if such tokens are padding, say --mask NAME or FILE (1 for a real token)";
  return what;
}

/// A shard with those states alone; nothing is copied but where they lie.
dumps::token_shard with_states(const dumps::token_shard& shard, const std::vector<index>& states) {
  dumps::token_shard some{shard.path, shard.tokens, {}, {}, {}};
  for (const auto state : states) some.states.push_back(shard.states[static_cast<std::size_t>(state)]);
  return some;
}

}  // namespace

dumped_states::dumped_states(layer_stack stack, index batch_tokens)
    : state_source(std::move(stack)), batch_tokens_(batch_tokens) {}

void dumped_states::each_batch(const std::vector<index>& states, report::progress_bar& progress,
                               const batch_body& body) const {
  for (const auto& shard : stack().shards) {
    const auto some = with_states(shard, states);
    for (index first = 0; first < shard.tokens; first += batch_tokens_) {
      const index count = std::min(batch_tokens_, shard.tokens - first);
      if (const auto mask = mask_of(shard, first, count)) {
        try {
          dumps::with_scalar(stack().dtype, [&](auto scalar) {
            const dumps::batch<decltype(scalar)> batch(some, stack().dimensions, first, count);
            body({batch.states().begin(), batch.states().end()}, *mask);
          });
        } catch (const layerwise::error& error) {
          reject_states(shard.path, first, count, states, with_remedy(error.what()));
        }
      }
      stack().release_pages();
      progress.advance(count);
    }
  }
}

dumps::whole_layer dumped_states::whole(index state, index) const {
  stack().release_pages();
  return {stack(), state};
}

index default_batch_tokens(const layer_stack& stack) {
  constexpr double target = 0x1p26;
  const double token = static_cast<double>(size_of(stack.dtype)) * static_cast<double>(stack.dimensions) *
                       static_cast<double>(stack.states);
  return static_cast<index>(std::clamp(target / token, 256.0, 4096.0));
}

}  // namespace examples::measurement
