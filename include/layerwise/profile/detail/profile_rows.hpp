// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/profile/detail/measure.hpp>
#include <layerwise/profile/detail/token_sums.hpp>
#include <layerwise/profile/layer_metrics.hpp>
#include <layerwise/profile/profile_options.hpp>
#include <layerwise/statistics/detail/chain.hpp>
#include <layerwise/statistics/detail/moments_of.hpp>
#include <layerwise/statistics/second_moments.hpp>

#include <cstddef>
#include <vector>

namespace layerwise::inline LAYERWISE_ABI::detail {

/// profile() of rows of `layers` layers of d columns.
inline layer_profile profile_rows(const row_source& stack, index layers, index d, const profile_options& options) {
  check(options);
  const std::vector<index> dimensions(static_cast<std::size_t>(layers), d);
  moment_chain chain(dimensions, pairs_of(options).of(layers), second_moments::input);
  neighbour_sums sums;
  chain.add(stack, zero_rows::refused, sums.observer());
  chain.observe_pending(sums.observer());
  const auto moments = [&](index l) { return take_moments(chain, {l - 1, l}, options.centering); };
  return profile_of(sums, chain.tokens(), d, moments, &stack, options);
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
