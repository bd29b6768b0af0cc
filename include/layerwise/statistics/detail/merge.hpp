// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/double_double.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/statistics/detail/chain_state.hpp>
#include <layerwise/statistics/detail/columns.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

// Adding up what two chains have seen, of different tokens: exact algebra, whatever their shifts, scales and targets
// are.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Turns x^T y of a pair into x^T r or back, through x^T x. What cancels is noted in `moved`.
inline void change_target(const chain_state& chain, pair_state& pair) {
  const layer_state& input = chain.input(pair);
  const column_frame from = chain.target_frame(pair);
  const double sign = pair.target_is_update ? 1.0 : -1.0;  // y = r + x, r = y - x
  pair.target_is_update = !pair.target_is_update;
  const column_frame& to = chain.target_frame(pair);
  const double from_target = to.scale / from.scale, from_x = to.scale / input.frame.scale;
  Eigen::VectorXd offset(from.shift.size());
  for (index j = 0; j < offset.size(); ++j) {  // small beside each of the three
    double_double sum{from.shift[j] * from_target, 0.0};
    sum.add(sign * from_x * input.frame.shift[j]);
    sum.add(-to.shift[j]);
    offset[j] = sum.value();
  }
  for (index j = 0; j < pair.cross.cols(); ++j)
    for (index i = 0; i < pair.cross.rows(); ++i) {
      const double second = i < j ? input.second(j, i) : input.second(i, j);
      pair.cross(i, j) = from_target * pair.cross(i, j) + sign * from_x * second;
    }
  add_outer(input.frame.sum, offset, pair.cross);
  const double root_n = std::sqrt(static_cast<double>(chain.added.tokens));
  for (index j = 0; j < offset.size(); ++j) {
    const double norm = from_target * std::sqrt(from.noise(j)) + from_x * std::sqrt(input.frame.noise(j)) +
                        root_n * std::abs(offset[j]);
    pair.moved[j] += norm * norm;
  }
}

/// A layer's x^T x. To be called before the frames are merged: it is relative to the sums as they were.
inline void merge_second(layer_state& mine, const layer_state& theirs, double n) {
  const change_of_frame to_mine(theirs.frame, mine.frame);
  Eigen::VectorXd rest = scaled(to_mine.ratio, theirs.frame.sum);
  add_multiple(0.5 * n, to_mine.offset.data(), rest.data(), rest.size());
  for (index k = 0; k < mine.second.size(); ++k)  // the ratio's square may be beyond the range of double
    mine.second.data()[k] += to_mine.ratio * (to_mine.ratio * theirs.second.data()[k]);
  add_outer(to_mine.offset, rest, mine.second, true);
  add_outer(rest, to_mine.offset, mine.second, true);
}

/// A pair's x^T t, of the same target. To be called before the frames are merged.
inline void merge_cross(const chain_state& chain, pair_state& mine, const chain_state& other, const pair_state& theirs,
                        double n) {
  const column_frame& x = other.input(theirs).frame;
  const column_frame& t = other.target_frame(theirs);
  const change_of_frame to_x(x, chain.input(mine).frame), to_t(t, chain.target_frame(mine));
  for (index k = 0; k < mine.cross.size(); ++k)
    mine.cross.data()[k] += to_x.ratio * (to_t.ratio * theirs.cross.data()[k]);
  add_outer(scaled(to_x.ratio, x.sum), to_t.offset, mine.cross);
  Eigen::VectorXd rest = scaled(to_t.ratio, t.sum);
  add_multiple(n, to_t.offset.data(), rest.data(), rest.size());
  add_outer(to_x.offset, rest, mine.cross);
  for (index j = 0; j < mine.moved.size(); ++j) mine.moved[j] += to_t.ratio * (to_t.ratio * theirs.moved[j]);
}

/// A layer's energies with themselves. To be called before the frames are merged.
inline void merge_energies(layer_state& mine, const layer_state& theirs, double n) {
  const double factor = theirs.energy_scale / theirs.frame.scale;
  const energy_side side(theirs.frame, mine.frame, mine.energy_scale);
  matrix products = scaled(theirs.second, factor, factor);
  for (index j = 0; j < products.cols(); ++j)
    for (index i = 0; i < j; ++i) products(i, j) = products(j, i);
  energy_products other = theirs.energies;
  other.of_y = other.of_x;
  mine.energies.of_y = mine.energies.of_x;
  merge_energies(mine.energies, other, side, side, products, n);
  mine.energies.of_y.resize(0);
}

/// A pair's. To be called before the frames are merged.
inline void merge_energies(const chain_state& chain, pair_state& mine, const chain_state& other, pair_state theirs,
                           double n) {
  const layer_state& x = other.input(theirs);
  const layer_state& y = other.output(theirs);
  if (theirs.target_is_update) change_target(other, theirs);
  const energy_side side_x(x.frame, chain.input(mine).frame, chain.input(mine).energy_scale);
  const energy_side side_y(y.frame, chain.output(mine).frame, chain.output(mine).energy_scale);
  const matrix products = scaled(theirs.cross, x.energy_scale / x.frame.scale, y.energy_scale / y.frame.scale);
  merge_energies(mine.energies, theirs.energies, side_x, side_y, products, n);
}

/// Adds to one chain what another has seen: of the same layers and pairs, both of one block at least. mine's peaks are
/// those of both.
inline void merge_blocks(chain_state& mine, const chain_state& other) {
  choose_scales(mine);
  const double n = static_cast<double>(other.added.tokens);
  // Theirs in scales that fit what both have seen: that of the smaller values may be out of range for the larger. Pair
  // by pair, so that there is a copy of two layers at a time.
  const auto in_scales_of_both = [&](chain_state theirs, const std::vector<index>& layers) {
    for (std::size_t k = 0; k < layers.size(); ++k) theirs.layers[k].peak = mine.layer(layers[k]).peak;
    choose_scales(theirs);
    return theirs;
  };
  for (pair_state& pair : mine.pairs) {
    const auto [from, to] = pair.layers;
    chain_state two = in_scales_of_both(copy_pair(other, pair.layers, second_moments::input), {from, to});
    pair_state& theirs = *two.find({0, 1});
    if (theirs.target_is_update != pair.target_is_update) {
      // To the update where an output's scale is larger: in that one x^T x may be beyond the range of double.
      const bool to_update =
          mine.output(pair).frame.scale > pair.update.scale || two.output(theirs).frame.scale > theirs.update.scale;
      if (to_update && !pair.target_is_update)
        change_target(mine, pair);
      else
        change_target(two, theirs);
    }
    merge_cross(mine, pair, two, theirs, n);
    if (mine.keeps_energies) merge_energies(mine, pair, two, theirs, n);
  }
  for (index l = 0; l < static_cast<index>(mine.layers.size()); ++l)
    if (mine.layer(l).keeps_second) {
      const layer_state theirs = in_scales_of_both(layer_of(other, l), {l}).layers.front();
      merge_second(mine.layer(l), theirs, n);
      if (mine.keeps_energies) merge_energies(mine.layer(l), theirs, n);
    }
  // The frames last: the products above are relative to the sums as they were.
  for (std::size_t k = 0; k < mine.pairs.size(); ++k)
    if (mine.has_update(mine.pairs[k])) merge_columns(mine.pairs[k].update, other.pairs[k].update, other.added.tokens);
  for (index l = 0; l < static_cast<index>(mine.layers.size()); ++l) {
    merge_columns(mine.layer(l).frame, other.layer(l).frame, other.added.tokens);
    mine.layer(l).different.merge(other.layer(l).different);
  }
  mine.added.tokens += other.added.tokens;
  // What an element passes through above.
  mine.added.additions = (std::max)(mine.added.additions, other.added.additions) + 8;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
