// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/row_sums.hpp>
#include <layerwise/metrics/detail/row_angle.hpp>
#include <layerwise/metrics/detail/row_contribution.hpp>
#include <layerwise/statistics/detail/chain.hpp>

#include <Eigen/Core>

#include <cstddef>
#include <vector>

// Sums over tokens of what a layer does to each token.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Of one layer.
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
    const row_angle angle = measure_angle({x, sum_of_squares(x, d), {}}, {y, sums.squares, {}}, sums.step, d);
    const row_contribution energies = measure_contribution(x, y, sums, d, {}, {});
    return {angle.displacement(), angle.angular_distance(), angle.cosine(), energies.ratio({}), energies};
  }
};

struct profiler_access;

/// Of all layers of a stack, whose moment_chain they observe: from the first block on.
class neighbour_sums {
 public:
  /// Of layer l, l = 1..L.
  const token_sums& layer(index l) const { return at(of_layer_, l - 1); }
  index layers() const { return static_cast<index>(of_layer_.size()); }

  /// Adds up the blocks that pass by. Tokens are measured in parallel and added in order.
  neighbour_observer observer() {
    return [this](index l, const Eigen::Ref<const row_block>& x, const Eigen::Ref<const row_block>& y) {
      std::vector<token_sums> tokens(static_cast<std::size_t>(x.rows()));
      parallel_chunks(x.rows(), 64, [&](index first, index count) {
        for (index i = first; i < first + count; ++i)
          at(tokens, i) = token_sums::of(x.data() + i * x.outerStride(), y.data() + i * y.outerStride(), x.cols());
      });
      token_sums block;
      for (const token_sums& token : tokens) block.add(token);
      grow(l);
      at(of_layer_, l - 1).add(block);
    };
  }

  void merge(const neighbour_sums& other) {
    grow(other.layers());
    for (std::size_t l = 0; l < other.of_layer_.size(); ++l) of_layer_[l].add(other.of_layer_[l]);
  }

 private:
  friend struct profiler_access;

  void grow(index layers) {
    if (this->layers() < layers) of_layer_.resize(static_cast<std::size_t>(layers));
  }

  std::vector<token_sums> of_layer_;
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
