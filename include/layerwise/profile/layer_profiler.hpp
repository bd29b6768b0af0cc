// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/profile/detail/measure.hpp>
#include <layerwise/profile/detail/token_sums.hpp>
#include <layerwise/profile/layer_metrics.hpp>
#include <layerwise/profile/profile_options.hpp>
#include <layerwise/statistics/detail/accumulator.hpp>
#include <layerwise/statistics/detail/moments_of.hpp>
#include <layerwise/statistics/layer_pairs.hpp>
#include <layerwise/statistics/stack_moments.hpp>

#include <utility>
#include <vector>

/// @file
/// Every metric of every layer of hidden states that come in batches.
namespace layerwise::inline LAYERWISE_ABI {

/// Takes the profile of a model in one pass over hidden states that come in batches of tokens, from one
/// thread or many: memory is O(L d^2), independent of the number of tokens.
///
///     layer_profiler profiler;
///     while (engine.next_batch()) profiler.add(engine.hidden_states());  // any range of embedding matrices
///     const layer_profile p = profiler.profile();
///
/// The profile does not depend, to the last bit, on how tokens were batched, nor on the number of threads.
class layer_profiler {
 public:
  /// Throws option_error for a tolerance that is not finite or below 0, and for solver::orthogonal, which needs the
  /// data.
  explicit layer_profiler(const profile_options& options = {})
      : options_(options),
        moments_(detail::pairs_of(options), options.linearity ? options.second_moments : second_moments::input) {
    detail::check(options);
    if (options.linearity) detail::require_moments_suffice(options.method);
  }

  /// Adds a batch: h_0 ... h_L of n_tokens x d each, the rows that the mask keeps. The first batch sets L and
  /// d.
  ///
  /// Throws shape_error for fewer than 2 layers, layers of unequal shapes, a mask of another length, or if L
  /// or d changed; degenerate_input_error for empty matrices or a row of zeros, which has no direction (mask
  /// such tokens); non_finite_error. The message names layer, row and column, and nothing of the batch is
  /// added then. Cost: 3 n d^2 flops a layer, and n d^2 for second moments of the last.
  template <hidden_states H>
  void add(const H& batch, const token_mask& mask = {}) {
    const auto layers = detail::open_layers(batch);
    const std::vector<index> tokens = mask.rows(layers.front().rows());
    detail::chain_access::add(moments_, detail::stack_source(layers, tokens), static_cast<index>(layers.size()),
                              layers.front().cols(), detail::zero_rows::refused, sums_.observer());
  }

  /// Adds everything another profiler has seen; O(L d^2). Nothing is added where it throws: it throws shape_error if L or d differ, option_error if only one of the
  /// two measures linearity, or keeps second moments of both.
  void merge(const layer_profiler& other) {
    const auto kind = [](bool linearity) { return linearity ? "a profiler with linearity" : "one without"; };
    if (other.options_.linearity != options_.linearity)
      detail::fail<option_error>(kind(options_.linearity), kind(other.options_.linearity),
                                 {.operand = "profile_options"});
    if (&other == this) return merge(layer_profiler(other));
    detail::require_same_sums(moments_.kept(), other.moments_.kept(), {.operand = "profile_options"});
    detail::neighbour_sums sums = sums_;
    sums.merge(other.sums_);
    detail::chain_access::merge(moments_, other.moments_, sums.observer());
    sums_ = std::move(sums);
  }

  /// The number of tokens added.
  index tokens() const { return moments_.tokens(); }

  /// The profile of what was added so far. Scores come from moments alone: where these are too
  /// ill-conditioned, the score's error_bound says so. Throws degenerate_input_error if no token was added, and for
  /// dependent columns with solver::cholesky; non_finite_error for a contribution ratio beyond the range of double.
  /// Cost: O(d^3) a layer.
  layer_profile profile() const {
    const detail::moment_chain& chain = detail::chain_access::of(moments_);
    detail::neighbour_sums sums = sums_;
    chain.observe_pending(sums.observer());
    const auto moments = [&](index l) { return detail::moments_of(chain, {l - 1, l}, options_.centering); };
    return detail::profile_of(sums, tokens(), moments_.dimensions(), moments, nullptr, options_);
  }

  /// The moments of what was added so far: any metric of second moments of any layer, or of neighbours, is one call on
  /// them, linear_cka(profiler.moments().pair(l)). Without linearity in the options there are none.
  const stack_moments& moments() const { return moments_; }

 private:
  friend struct detail::profiler_access;

  profile_options options_;
  stack_moments moments_;
  detail::neighbour_sums sums_;
};

}  // namespace layerwise::inline LAYERWISE_ABI
