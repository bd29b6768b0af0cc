// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/profile/detail/profile_rows.hpp>
#include <layerwise/profile/layer_metrics.hpp>
#include <layerwise/profile/profile_options.hpp>

#include <vector>

/// @file
/// Every metric of every layer of hidden states that are all there.
namespace layerwise::inline LAYERWISE_ABI {
/// Every metric of every layer, in one pass over the data: h_0 ... h_L of n_tokens x d each, as any forward
/// range of embedding matrices. Sources: arXiv 2405.12250 (linearity, contribution), 2601.18302
/// (displacement, jump rate), 2403.17887 (angular distance).
///
/// Since the data is at hand, scores that moments cannot give to options.tolerance are taken from the data, layer by
/// layer. mask: the tokens that take part. Throws as layer_profiler's constructor, add() and profile(), but takes
/// solver::orthogonal; degenerate_input_error for a mask that keeps no token. Cost: 3 n d^2 flops a layer plus O(d^3);
/// O(L d^2) memory.
template <hidden_states H>
layer_profile profile(const H& states, const profile_options& options = {}, const token_mask& mask = {}) {
  const auto layers = detail::open_layers(states);
  const std::vector<index> tokens = mask.rows(layers.front().rows());
  return detail::profile_rows(detail::stack_source(layers, tokens), static_cast<index>(layers.size()),
                              layers.front().cols(), options);
}

}  // namespace layerwise::inline LAYERWISE_ABI
