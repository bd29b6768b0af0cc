// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/metrics/contribution_ratio.hpp>
#include <layerwise/metrics/displacement.hpp>
#include <layerwise/metrics/jump_rate.hpp>
#include <layerwise/metrics/linearity.hpp>
#include <layerwise/profile/layer_metrics.hpp>
#include <layerwise/statistics/cross_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

/// @file
/// Every metric of every layer in one pass over the data.
namespace layerwise::inline LAYERWISE_ABI {

/// How a profile is taken; see linearity_options for the first three.
struct profile_options {
  layerwise::centering centering = layerwise::centering::columns;  ///< of the linearities
  solver method = solver::automatic;                               ///< of their regressions
  double tolerance = 1e-8;                                         ///< of both scores of a layer
  /// What the profile says of h_L.
  layerwise::final_norm final_norm = layerwise::final_norm::unspecified;
  /// False leaves both linearities out, empty in every layer: angles and the like cost O(n d), and no O(d^2) memory.
  bool linearity = true;
};

namespace detail {

/// Sums over tokens of the per-token metrics of one pair of layers.
struct token_sums {
  double displacement = 0.0, angular_distance = 0.0, cosine = 0.0, contribution = 0.0;
  row_contribution energies;

  void add(const token_sums& other) {
    displacement += other.displacement;
    angular_distance += other.angular_distance;
    cosine += other.cosine;
    contribution += other.contribution;
    energies.add(other.energies);
  }

  static token_sums of(const double* x, const double* y, index d) {
    const row_sums sums = sum_row(x, y, d);
    // The rows were inspected: finite and not zero.
    const row_angle angle = measure_angle(x, sum_of_squares(x, d), y, sums, d, {}, {});
    const row_contribution energies = measure_contribution(x, y, sums, d, {}, {});
    return {angle.displacement(), angle.angular_distance(), angle.cosine(), energies.ratio({}), energies};
  }
};

/// Observes a moment_chain: adds up the per-token metrics of the blocks that pass by, in `sums`. Tokens are
/// measured in parallel and added in order.
inline observe_pair count_into(std::vector<token_sums>& sums) {
  return [&sums](index l, const Eigen::Ref<const row_block>& x, const Eigen::Ref<const row_block>& y) {
    std::vector<token_sums> tokens(static_cast<std::size_t>(x.rows()));
    parallel_chunks(x.rows(), 64, [&](index first, index count) {
      for (index i = first; i < first + count; ++i)
        tokens[static_cast<std::size_t>(i)] =
            token_sums::of(x.data() + i * x.outerStride(), y.data() + i * y.outerStride(), x.cols());
    });
    token_sums block;
    for (const token_sums& token : tokens) block.add(token);
    sums[static_cast<std::size_t>(l - 1)].add(block);
  };
}

}  // namespace detail

/// Every metric of every layer, in one pass over the data: h_0 ... h_L of n_tokens x d each, as any forward
/// range of embedding matrices. Sources: arXiv 2405.12250 (linearity, contribution), 2601.18302
/// (displacement, jump rate), 2403.17887 (angular distance).
///
/// Since the data is at hand, scores that moments cannot give to options.tolerance are taken from the data,
/// layer by layer. Errors as layer_profiler::add. Cost: 3 n d^2 flops a layer plus O(d^3); O(L d^2) memory.
template <hidden_states H>
layer_profile profile(const H& states, const profile_options& options = {}, const token_mask& mask = {});

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
  /// Throws option_error for a tolerance that is not finite or below 0.
  explicit layer_profiler(const profile_options& options = {}) : options_(options) { detail::check(scoring()); }

  /// Adds a batch: h_0 ... h_L of n_tokens x d each, the rows that the mask keeps. The first batch sets L and
  /// d.
  ///
  /// Throws shape_error for fewer than 2 layers, layers of unequal shapes, a mask of another length, or if L
  /// or d changed; degenerate_input_error for empty matrices or a row of zeros, which has no direction (mask
  /// such tokens); non_finite_error. The message names layer, row and column, and nothing of the batch is
  /// added then. Cost: 3 n d^2 flops a layer.
  template <hidden_states H>
  void add(const H& batch, const token_mask& mask = {}) {
    const auto layers = detail::open_layers(batch);
    add_rows(layers, mask.rows(layers.front().rows()));
  }

  /// Adds everything another profiler has seen. Throws shape_error if L or d differ, option_error if only one of the
  /// two measures linearity.
  void merge(const layer_profiler& other) {
    if (other.chain_.layers() == 0) return;
    const auto kind = [](bool linearity) { return linearity ? "a profiler with linearity" : "one without"; };
    if (other.options_.linearity != options_.linearity)
      detail::fail<option_error>(kind(options_.linearity), kind(other.options_.linearity),
                                 {.operand = "profile_options"});
    if (&other == this) return merge(layer_profiler(other));
    if (chain_.layers() == 0) {
      chain_ = other.chain_;
      sums_ = other.sums_;
      return;
    }
    require_same(other.chain_.layers(), other.chain_.dimensions(0));
    for (std::size_t l = 0; l < sums_.size(); ++l) sums_[l].add(other.sums_[l]);
    chain_.merge(other.chain_, detail::count_into(sums_));
  }

  /// The number of tokens added.
  index tokens() const { return chain_.tokens(); }

  /// The profile of what was added so far. Scores come from moments alone: where these are too
  /// ill-conditioned, the score's error_bound says so. Throws degenerate_input_error if no token was added,
  /// non_finite_error for a contribution ratio beyond the range of double.
  /// Cost: O(d^3) a layer.
  layer_profile profile() const {
    return finish([this](index l) { return chain_.extract(l, options_.centering); }, nullptr);
  }

 private:
  template <hidden_states H>
  friend layer_profile profile(const H& states, const profile_options& options, const token_mask& mask);

  linearity_options scoring() const {
    return {.centering = options_.centering, .method = options_.method, .tolerance = options_.tolerance};
  }

  void require_same(index layers, index dimensions) const {
    const auto stack = [](index l, index d) { return detail::text(l, " layers of ", d, " columns"); };
    if (layers != chain_.layers() || dimensions != chain_.dimensions(0))
      detail::fail<shape_error>(detail::text(stack(chain_.layers(), chain_.dimensions(0)), ", as before"),
                                stack(layers, dimensions), {.operand = "hidden_states"});
  }

  template <class Readers>
  void add_rows(const Readers& layers, const std::vector<index>& rows) {
    const index count = static_cast<index>(layers.size()), d = layers.front().cols();
    const bool first = chain_.layers() == 0;
    if (!first) require_same(count, d);
    detail::moment_chain fresh =
        first ? detail::moment_chain(std::vector<index>(layers.size(), d), options_.linearity) : detail::moment_chain();
    detail::moment_chain& chain = first ? fresh : chain_;
    std::vector<detail::token_sums> fresh_sums(layers.size() - 1);
    chain.add(detail::stack_source(layers, rows), detail::zero_rows::refused,
              detail::count_into(first ? fresh_sums : sums_));
    if (first) chain_ = std::move(fresh), sums_ = std::move(fresh_sums);
  }

  /// The moments of pair l, which are asked for once, and the data of layers 0 ... L, where it is at hand.
  layer_profile finish(const std::function<detail::pair_moments(index l)>& moments_of,
                       const detail::row_source* stack) const {
    if (tokens() == 0) detail::fail<degenerate_input_error>("at least one token", "none", {.operand = "hidden_states"});
    std::vector<detail::token_sums> sums = sums_;
    chain_.observe_pending(count_into(sums));

    layer_profile out;
    out.layers.resize(sums.size());
    out.tokens = tokens();
    out.dimensions = chain_.dimensions(0);
    out.centering = options_.centering;
    out.final_norm = options_.final_norm;

    detail::parallel_for(static_cast<index>(sums.size()), [&](index pair) {
      layer_metrics& layer = out.layers[static_cast<std::size_t>(pair)];
      const detail::token_sums& sum = sums[static_cast<std::size_t>(pair)];
      const double n = static_cast<double>(out.tokens);
      layer.displacement = sum.displacement / n;
      layer.angular_distance = sum.angular_distance / n;
      layer.cosine_similarity = sum.cosine / n;
      const place output{.operand = "hidden_states", .layer = pair + 1};
      layer.contribution_ratio = sum.contribution / n;
      if (!std::isfinite(layer.contribution_ratio))
        detail::fail<non_finite_error>("ratios of norms within the range of double",
                                       detail::text("a mean of ", layer.contribution_ratio), output);
      layer.contribution_ratio_frobenius = detail::finite_ratio(sum.energies, output);
      detail::pair_moments moments = moments_of(pair + 1);
      if (stack == nullptr) return measure_linearity(moments, nullptr, layer);
      const detail::row_source data = stack->pair(pair, pair + 1);
      measure_linearity(moments, &data, layer);
    });

    std::vector<double> displacements;
    for (const layer_metrics& layer : out.layers) displacements.push_back(layer.displacement);
    for (std::size_t l = 2; l <= displacements.size(); ++l)
      out.layers[l - 1].jump_rate = jump_rate(displacements, static_cast<index>(l));
    return out;
  }

  /// One regression gives both scores: y and y - x leave the same residual.
  void measure_linearity(detail::pair_moments& m, const detail::row_source* data, layer_metrics& layer) const {
    using detail::regression_target;
    if (const double spread = m.y_spread.sum(); spread > 0.0) {
      index largest;
      layer.outlier_share = m.y_spread.maxCoeff(&largest) / spread;
      layer.outlier_dimension = largest;
    }
    if (!options_.linearity || !detail::has_variance(m)) return;
    if (data != nullptr)
      for (const regression_target what : {regression_target::output, regression_target::update})
        detail::sharpen(m, what, options_.tolerance, *data);
    const detail::regression_request wanted{options_.method, options_.tolerance, m.output_total.value > 0.0,
                                            m.update_total.value > 0.0, false};
    if (!wanted.output && !wanted.update) return;
    const detail::regression fit = detail::solve(m, wanted, data);
    const auto result = [&](regression_target what) {
      const auto own = detail::solve_for(what, m, fit, wanted, data);
      return own ? detail::make_result(own->second, own->first, what) : detail::make_result(fit, m, what);
    };
    if (wanted.output) layer.linearity = result(regression_target::output);
    if (wanted.update) layer.residual_linearity = result(regression_target::update);
  }

  profile_options options_;
  detail::moment_chain chain_;
  std::vector<detail::token_sums> sums_;
};

template <hidden_states H>
layer_profile profile(const H& states, const profile_options& options, const token_mask& mask) {
  layer_profiler profiler(options);
  const auto layers = detail::open_layers(states);
  const std::vector<index> tokens = mask.rows(layers.front().rows());
  profiler.add_rows(layers, tokens);
  const detail::row_source stack = detail::stack_source(layers, tokens);
  return profiler.finish([&](index l) { return profiler.chain_.take(l, options.centering); }, &stack);
}

}  // namespace layerwise::inline LAYERWISE_ABI
