#pragma once

#include "common/input_error.hpp"
#include "dumps/batches.hpp"
#include "dumps/layer_stack.hpp"
#include "dumps/token_choice.hpp"
#include "dumps/with_scalar.hpp"
#include "report/progress_bar.hpp"

#include <layerwise/core.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace examples::layerwise_profile {

using dumps::index;
using dumps::layer_stack;

/// The states [first, last] of the stack as one of their own; nothing is copied but where they lie.
inline layer_stack some_layers(const layer_stack& stack, index first, index last) {
  layer_stack result{stack.dtype, last - first + 1, stack.tokens, stack.dimensions, stack.shards, {}, {}, {}, {}, {}};
  for (auto& shard : result.shards) shard.states = {shard.states.begin() + first, shard.states.begin() + last + 1};
  return result;
}

/// What the program's options do against it.
inline std::string with_remedy(std::string what) {
  if (what.find("row of zeros") != std::string::npos)
    what += ": if such tokens are padding, say --mask NAME or FILE (1 for a real token)";
  return what;
}

/// What goes through the tokens of a stack, a batch at a time.
struct token_walk {
  const layer_stack& stack;
  const layer_stack& owner;  // of the files
  index first_state;         // of `stack` in its owner
  index batch_tokens;
  report::progress_bar& progress;

  /// body(states, mask) of each batch that has tokens which take part; lets go of the pages behind it. Throws
  /// input_error for what the library has to say against the data.
  template <class Body>
  void each(const Body& body) const {
    dumps::with_scalar(stack.dtype, [&](auto scalar) { each_of<decltype(scalar)>(body); });
  }

 private:
  template <class Scalar, class Body>
  void each_of(const Body& body) const {
    for (const auto& shard : stack.shards)
      for (index first = 0; first < shard.tokens; first += batch_tokens) {
        const index count = std::min(batch_tokens, shard.tokens - first);
        if (const auto mask = mask_of(shard, first, count)) {
          try {
            body(dumps::batch<Scalar>(shard, stack.dimensions, first, count).states(), *mask);
          } catch (const layerwise::error& error) {
            reject(shard.path, "in tokens {} to {} (row 0 is token {}{}): {}", first, first + count - 1, first,
                   first_state > 0 ? fmt::format(", layer 0 is state {}", first_state) : "", with_remedy(error.what()));
          }
        }
        owner.release_pages();
        progress.advance(count);
      }
  }
};

}  // namespace examples::layerwise_profile
