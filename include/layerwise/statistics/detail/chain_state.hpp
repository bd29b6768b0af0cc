// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/statistics/detail/columns.hpp>
#include <layerwise/statistics/detail/distinct_rows.hpp>
#include <layerwise/statistics/detail/energy_products.hpp>
#include <layerwise/statistics/layer_pairs.hpp>
#include <layerwise/statistics/second_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

// What is kept of a chain of layers and of pairs of them, apart from rows that do not fill a block yet.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// A layer's own sums.
struct layer_state {
  index dimensions = 0;
  bool keeps_second = false;
  bool is_input = false;  ///< of a pair
  column_frame frame;
  matrix second;      ///< x^T x about the shift, lower triangle; empty before the first block, and unless kept
  double peak = 0.0;  ///< no |element| seen so far is larger, and it is at most d times larger than all
  distinct_rows different;
  double energy_scale = 0.0;
  energy_products energies = {};  ///< of the layer and itself; kept with y^T y
};

/// The sums of a pair of layers: x of layer `from`, y of layer `to`. The target t is y or r = y - x.
struct pair_state {
  layer_pair layers;
  column_frame update;  ///< r = y - x; unused if d_x != d_y
  matrix cross;         ///< x^T t about the shifts
  bool target_is_update = false;
  Eigen::VectorXd moved;          ///< energy that passed through `cross` when a merge changed its target
  energy_products energies = {};  ///< of x and y, whatever the target; kept with y^T y
};

struct chain_state {
  std::vector<layer_state> layers;
  std::vector<pair_state> pairs;  ///< in the order of is_before()
  summation added;
  bool keeps_energies = false;  ///< products of energies, of each layer with itself and of each pair

  layer_state& layer(index l) { return at(layers, l); }
  const layer_state& layer(index l) const { return at(layers, l); }
  const layer_state& input(const pair_state& pair) const { return layer(pair.layers.from); }
  const layer_state& output(const pair_state& pair) const { return layer(pair.layers.to); }
  bool has_update(const pair_state& pair) const { return input(pair).dimensions == output(pair).dimensions; }

  /// What a pair's cross moments are taken with: the update or the output.
  const column_frame& target_frame(const pair_state& pair) const {
    return pair.target_is_update ? pair.update : output(pair).frame;
  }

  /// Null if there is none. O(log p) of p pairs.
  pair_state* find(const layer_pair& wanted) {
    const auto found =
        std::lower_bound(pairs.begin(), pairs.end(), wanted,
                         [](const pair_state& pair, const layer_pair& other) { return is_before(pair.layers, other); });
    return found == pairs.end() || found->layers != wanted ? nullptr : &*found;
  }
  const pair_state* find(const layer_pair& wanted) const { return const_cast<chain_state*>(this)->find(wanted); }
};

/// Those of products of energies, for what has been seen of each layer.
inline void choose_energy_scales(chain_state& chain) {
  std::vector<double> ratios;
  for (layer_state& layer : chain.layers) {
    const double before = std::exchange(layer.energy_scale, energy_scale(layer.peak));
    ratios.push_back(before == 0.0 ? 1.0 : layer.energy_scale / before);
    if (ratios.back() != 1.0) layer.energies.rescale(ratios.back(), ratios.back());
  }
  for (pair_state& pair : chain.pairs) {
    const double x = at(ratios, pair.layers.from), y = at(ratios, pair.layers.to);
    if (x != 1.0 || y != 1.0) pair.energies.rescale(x, y);
  }
}

/// Keeps shifted values so that sums of their products neither overflow nor vanish. Changes nothing for data of
/// ordinary magnitude; powers of two are exact. One scale serves all columns of a layer: those more than 1e140 below
/// the largest count as constant.
inline void choose_scales(chain_state& chain) {
  choose_energy_scales(chain);
  const auto fit = [](column_frame& frame, double peak) {
    const double reach = peak * frame.scale;
    // Peaks only rise: a small one is that of a layer whose first block was all zeros.
    if (frame.started() && (peak == 0.0 || (reach <= 0x1p450 && reach >= least_safe_peak))) return 1.0;
    return frame.rescale(safe_scale(peak));
  };
  std::vector<double> ratios;
  for (layer_state& layer : chain.layers) {
    ratios.push_back(fit(layer.frame, layer.peak));
    if (ratios.back() != 1.0) layer.second *= ratios.back(), layer.second *= ratios.back();
  }
  for (pair_state& pair : chain.pairs) {
    const double update = fit(pair.update, (std::max)(chain.input(pair).peak, chain.output(pair).peak));
    const double input = at(ratios, pair.layers.from);
    const double target = pair.target_is_update ? update : at(ratios, pair.layers.to);
    if (input != 1.0) pair.cross *= input;
    if (target != 1.0) pair.cross *= target, pair.moved *= target, pair.moved *= target;
  }
}

/// A layer as a chain of its own.
inline chain_state layer_of(const chain_state& chain, index l) {
  chain_state part{{chain.layer(l)}, {}, chain.added, chain.keeps_energies};
  part.layers[0].is_input = false;
  return part;
}

/// A pair as a chain of its own: of its x^T x and y^T y, where they are kept, and its sums, where there are.
inline chain_state pair_of(const chain_state& chain, const layer_pair& pair, matrix xx, matrix yy,
                           std::optional<pair_state> sums) {
  const auto layer = [&](index l, matrix second) {
    const layer_state& from = chain.layer(l);
    return layer_state{from.dimensions, from.keeps_second, false,        from.frame, std::move(second), from.peak,
                       from.different,  from.energy_scale, from.energies};
  };
  chain_state part{{layer(pair.from, std::move(xx)), layer(pair.to, std::move(yy))}, {}, chain.added};
  part.layers[0].is_input = sums.has_value();
  if (sums) {
    sums->layers = {0, 1};
    part.pairs.push_back(*std::move(sums));
  }
  return part;
}

/// pair_of() a copy. The solver does not ask for y^T y, and leaves it out.
inline chain_state copy_pair(const chain_state& chain, const layer_pair& pair, second_moments wanted) {
  const pair_state* sums = chain.find(pair);
  const bool both = wanted == second_moments::both;
  chain_state part = pair_of(chain, pair, chain.layer(pair.from).second, both ? chain.layer(pair.to).second : matrix(),
                             sums ? std::optional(*sums) : std::nullopt);
  part.layers[1].keeps_second &= both;
  part.keeps_energies = both && chain.keeps_energies;
  return part;
}

/// pair_of() a pair that is asked for once, of a chain that is needed no longer: x^T x and x^T t are moved. A copy of
/// 32 MB (d = 2048) is as dear as a tenth of the products of 4096 tokens.
inline chain_state take_pair(chain_state& chain, const layer_pair& pair) {
  pair_state* sums = chain.find(pair);
  matrix second = std::move(chain.layer(pair.from).second);
  chain_state part =
      pair_of(chain, pair, std::move(second), matrix(), sums ? std::optional(std::move(*sums)) : std::nullopt);
  part.layers[1].keeps_second = false;
  return part;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
