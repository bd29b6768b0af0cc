// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/metrics/jump_rate.hpp>
#include <layerwise/metrics/linearity.hpp>
#include <layerwise/profile/detail/token_sums.hpp>
#include <layerwise/profile/layer_metrics.hpp>
#include <layerwise/profile/profile_options.hpp>
#include <layerwise/solve/detail/regress.hpp>
#include <layerwise/solve/detail/regression.hpp>
#include <layerwise/solve/detail/solve.hpp>
#include <layerwise/statistics/detail/moments_of.hpp>

#include <cmath>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

// From what was summed to the metrics of each layer.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// What is known of one layer, l.
struct layer_evidence {
  index l;
  index tokens;
  const token_sums& sums;
  pair_moments moments;
  const row_source* data;  ///< of the pair; null if it is gone
};

/// Token means.
inline void measure_tokens(const layer_evidence& of, layer_metrics& layer) {
  const double n = static_cast<double>(of.tokens);
  const place output{.operand = "hidden_states", .layer = of.l};
  layer.displacement = of.sums.displacement / n;
  layer.angular_distance = of.sums.angular_distance / n;
  layer.cosine_similarity = of.sums.cosine / n;
  layer.contribution_ratio = of.sums.contribution / n;
  if (!std::isfinite(layer.contribution_ratio))
    fail<non_finite_error>("ratios of norms within the range of double", text("a mean of ", layer.contribution_ratio),
                           output);
  layer.contribution_ratio_frobenius = finite_ratio(of.sums.energies, output);
}

/// Outlying dimensions.
inline void measure_outlier(const layer_evidence& of, layer_metrics& layer) {
  const double spread = of.moments.y_spread.sum();
  if (!(spread > 0.0)) return;
  index largest;
  layer.outlier_share = of.moments.y_spread.maxCoeff(&largest) / spread;
  layer.outlier_dimension = largest;
}

/// One regression gives both scores: y and y - x leave the same residual.
inline void measure_linearity(layer_evidence& of, const profile_options& options, layer_metrics& layer) {
  pair_moments& m = of.moments;
  if (!options.linearity || !has_variance(m)) return;
  if (of.data != nullptr)
    for (const regression_target what : {regression_target::output, regression_target::update})
      sharpen(m, what, options.tolerance, *of.data);
  const regression_request wanted{options.method, options.tolerance, m.output_total.value > 0.0,
                                  m.update_total.value > 0.0, false};
  if (!wanted.output && !wanted.update) return;
  const regression fit = solve(m, wanted, of.data);
  const auto result = [&](regression_target what) {
    const auto own = solve_for(what, m, fit, wanted, of.data);
    return own ? make_result(own->second, own->first, what) : make_result(fit, m, what);
  };
  if (wanted.output) layer.linearity = result(regression_target::output);
  if (wanted.update) layer.residual_linearity = result(regression_target::update);
}

/// What needs all layers: jump rates.
inline void measure_jumps(std::vector<layer_metrics>& layers) {
  std::vector<double> displacements;
  for (const layer_metrics& layer : layers) displacements.push_back(layer.displacement);
  if (displacements.size() < 2) return;
  const std::vector<double> rates = jump_rates(displacements);
  for (std::size_t l = 1; l < layers.size(); ++l) layers[l].jump_rate = rates[l - 1];
}

/// moments_of(l) is asked for once for each layer; `stack` are the rows of all layers, null if they are gone.
inline layer_profile profile_of(const neighbour_sums& sums, index tokens, index dimensions,
                                const std::function<pair_moments(index l)>& moments_of, const row_source* stack,
                                const profile_options& options) {
  require_tokens(tokens, {.operand = "hidden_states"});
  layer_profile out;
  out.layers.resize(static_cast<std::size_t>(sums.layers()));
  out.tokens = tokens;
  out.dimensions = dimensions;
  out.centering = options.centering;
  out.final_norm = options.final_norm;
  parallel_for(sums.layers(), [&](index pair) {
    const index l = pair + 1;
    layer_metrics& layer = at(out.layers, pair);
    const std::optional<row_source> data = stack == nullptr ? std::nullopt : std::optional(stack->pair(l - 1, l));
    layer_evidence evidence{l, tokens, sums.layer(l), {}, data ? &*data : nullptr};
    measure_tokens(evidence, layer);
    evidence.moments = moments_of(l);
    measure_outlier(evidence, layer);
    measure_linearity(evidence, options, layer);
  });
  measure_jumps(out.layers);
  return out;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
