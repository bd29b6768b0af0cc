// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/detail/central_energies.hpp>
#include <layerwise/statistics/detail/chain.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>
#include <layerwise/statistics/scatter.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

// From sums about provisional shifts to what they say about means, or about 0.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// The columns of a frame, about their means or about 0. An energy that rounding is all there is of is 0.
inline column_stats stats_of(const column_frame& frame, const summation& added, centering center) {
  const double n = static_cast<double>(added.tokens);
  const double rounding = added.rounding(frame, frame, true);
  column_stats out{frame.scale, frame.energy, frame.energy, frame.shift, frame.sum};
  for (index j = 0; j < out.energy.size(); ++j) {
    out.noise[j] = frame.noise(j);
    out.drift[j] /= n;
    out.energy[j] -= frame.sum[j] * out.drift[j];
    if (!(out.energy[j] > rounding * out.noise[j])) out.energy[j] = 0.0;
    if (center == centering::columns) continue;
    const double mean = frame.shift[j] + out.drift[j], offset = n * mean * mean;
    out.energy[j] += offset, out.noise[j] += offset;
  }
  if (center == centering::none) out.shift.setZero(), out.drift.setZero();
  return out;
}

/// The energy of all columns.
inline total_energy total_of(const column_stats& stats, const column_frame& frame, const summation& added,
                             centering center) {
  const double energy = stats.energy.sum(), columns = static_cast<double>(stats.energy.size());
  const bool is_certain = stats.noise.sum() == 0.0 || energy > 0.0;
  if (!(energy > least_energy)) return {0.0, is_certain ? 0.0 : HUGE_VAL};
  const double rounding = added.rounding(frame, frame, center == centering::columns) + unit_roundoff * columns;
  return {energy, 2.0 * rounding * stats.noise.sum() / energy};  // 2: what stats_of took for nothing
}

/// Sums of products of the columns of x and t, from about their shifts to about their means or 0.
inline void move_products(const column_frame& x, const column_frame& t, double n, centering center, matrix& products,
                          bool lower_only = false) {
  add_outer(x.sum / -n, t.sum, products, lower_only);
  if (center == centering::none) add_outer(x.mean(n), scaled(n, t.mean(n)), products, lower_only);
}

/// Of a chain of the two layers of a pair.
inline pair_moments moments_of(chain_state&& chain, centering center) {
  const summation& added = chain.added;
  const double n = static_cast<double>(added.tokens);
  layer_state& input = chain.layers[0];
  const column_frame& x = input.frame;
  const column_frame& y = chain.layers[1].frame;

  pair_moments out;
  out.tokens = added.tokens;
  out.centering = center;
  out.x = stats_of(x, added, center);
  out.output = stats_of(y, added, center);
  out.x_mean = x.own_mean(n), out.y_mean = y.own_mean(n);
  out.y_spread = center == centering::columns ? out.output.energy : stats_of(y, added, centering::columns).energy;
  out.different_rows = input.different.count();
  pair_state* const pair = chain.find({0, 1});
  if (pair == nullptr) return out;

  const column_frame& t = chain.target_frame(*pair);
  out.target = pair->target_is_update ? regression_target::update : regression_target::output;
  out.sum_rounding = added.rounding(x, t, center == centering::columns);
  out.second = std::move(input.second);
  out.cross = std::move(pair->cross);
  move_products(x, x, n, center, out.second, true);
  move_products(x, t, n, center, out.cross);
  out.second.diagonal() = out.x.energy;
  out.output_total = total_of(out.output, y, added, center);
  if (chain.has_update(*pair)) {
    out.update = stats_of(pair->update, added, center);
    out.update_total = total_of(out.update, pair->update, added, center);
  }
  (pair->target_is_update ? out.update : out.output).noise += pair->moved;
  return out;
}

/// Of a pair of layers of a chain: of a copy, or once, of what is needed no longer.
inline pair_moments moments_of(const moment_chain& chain, const layer_pair& pair, centering center) {
  return moments_of(chain.pair(pair, second_moments::input).finished(), center);
}
inline pair_moments take_moments(moment_chain& chain, const layer_pair& pair, centering center) {
  return moments_of(chain.take(pair).finished(), center);
}

/// All of a symmetric matrix from its lower triangle.
inline matrix full(const matrix& lower) { return lower.selfadjointView<Eigen::Lower>(); }

inline Eigen::RowVectorXd as_row(const Eigen::VectorXd& v) {
  Eigen::RowVectorXd out(v.size());
  std::copy_n(v.data(), v.size(), out.data());
  return out;
}

/// The norms that rounding is relative to. An energy that stats_of took for nothing may have been twice its rounding;
/// about 0 it does not show which.
inline Eigen::VectorXd summed_norms(const column_stats& stats, centering center) {
  Eigen::VectorXd norms(stats.noise.size());
  for (index j = 0; j < norms.size(); ++j) {
    const double twice = stats.energy[j] == 0.0 || center == centering::none ? 2.0 : 1.0;
    norms[j] = std::sqrt((std::max)(twice * stats.noise[j], least_noise));
  }
  return norms;
}

/// Of a chain of one layer, which keeps x^T x.
inline scatter scatter_of_layer(chain_state&& chain, centering center) {
  const summation& added = chain.added;
  const double n = static_cast<double>(added.tokens);
  layer_state& layer = chain.layers[0];
  const column_frame& x = layer.frame;
  const column_stats stats = stats_of(x, added, center);
  move_products(x, x, n, center, layer.second, true);
  layer.second.diagonal() = stats.energy;

  scatter out;
  out.tokens = added.tokens;
  out.centering = center;
  out.xx = full(layer.second);
  out.x_mean = as_row(x.own_mean(n));
  out.x_scale = x.scale;
  out.rounding = {added.rounding(x, x, center == centering::columns), summed_norms(stats, center), {}, {}};
  out.different_rows = layer.different.count();
  return out;
}

/// Of a chain of the two layers of a pair. x^T y of an update r = y - x is x^T r + x^T x, whose rounding is that of both:
/// more than that of y alone where the first block, by which the target was chosen, misleads.
inline scatter scatter_of_pair(chain_state&& chain, centering center) {
  const bool keeps_yy = chain.layers[1].keeps_second, centred = center == centering::columns;
  const double gamma_x = chain.added.rounding(chain.layers[0].frame, chain.layers[0].frame, centred);
  const double gamma_y = chain.added.rounding(chain.layers[1].frame, chain.layers[1].frame, centred);
  std::optional<central_energies> energies;
  if (chain.keeps_energies && centred) energies.emplace(chain);
  matrix yy;
  if (keeps_yy) yy = scatter_of_layer(layer_of(chain, 1), center).xx;
  const pair_moments m = moments_of(std::move(chain), center);

  scatter out;
  out.tokens = m.tokens;
  out.centering = center;
  out.xx = full(m.second);
  out.yy = std::move(yy);
  out.x_mean = as_row(m.x_mean), out.y_mean = as_row(m.y_mean);
  out.x_scale = m.x.scale, out.y_scale = m.output.scale;
  const Eigen::VectorXd x_norm = summed_norms(m.x, center), y_norm = summed_norms(m.output, center);
  out.rounding = {(std::max)({gamma_x, gamma_y, m.sum_rounding}), x_norm, y_norm, y_norm};
  out.different_rows = m.different_rows;
  if (m.target == regression_target::output) {
    out.xy = m.cross;
    if (energies) out.energies = energies->about_means(out);
    return out;
  }
  const double of_update = m.output.scale / m.update.scale, of_x = m.output.scale / m.x.scale;
  out.xy.resize(m.cross.rows(), m.cross.cols());
  for (index k = 0; k < out.xy.size(); ++k) {
    const double sum = of_update * m.cross.data()[k] + of_x * out.xx.data()[k];
    // In units of a y that is beyond the range of double beside x nothing is known of it, which the bound says.
    out.xy.data()[k] = std::isfinite(sum) ? sum : 0.0;
  }
  out.rounding.gamma += 4.0 * unit_roundoff;  // of this sum
  const Eigen::VectorXd update_norm = summed_norms(m.update, center);
  for (index j = 0; j < y_norm.size(); ++j)
    out.rounding.cross_norm[j] = (std::max)(y_norm[j], of_update * update_norm[j] + of_x * x_norm[j]);
  if (energies) out.energies = energies->about_means(out);
  return out;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
