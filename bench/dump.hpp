// What the benchmarks bound by memory share: a dump of hidden states, and how fast this machine reads one.
#pragma once

#include <layerwise/detail/parallel.hpp>
#include <layerwise/embedding.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <random>
#include <vector>

namespace layerwise_bench {

using layerwise::index;

/// The shape of a 12-layer model's dump: L + 1 = 13 layers, 768 dimensions.
inline constexpr index layers = 13, tokens = 4096, dims = 768;
inline constexpr index size = layers * tokens * dims;

/// Hidden states that turn a little from layer to layer, [layer][token][dim].
template <class Scalar>
std::vector<Scalar> make_dump() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<Scalar> dump(static_cast<std::size_t>(size));
  const auto layer_size = static_cast<std::size_t>(tokens * dims);
  for (std::size_t i = 0; i < dump.size(); ++i) {
    const float before = i < layer_size ? 0.f : static_cast<float>(dump[i - layer_size]);
    dump[i] = static_cast<Scalar>(before + normal(random));
  }
  return dump;
}

/// Bytes a second at which all threads together sum up an array that no cache holds: the best of ten runs.
inline double plain_read_bandwidth() {
  static const double bandwidth = [] {
    const std::vector<float> data(static_cast<std::size_t>(size), 1.f);
    const index chunk = 1 << 16;
    std::vector<float> sums(static_cast<std::size_t>((size + chunk - 1) / chunk));
    double best = 0;
    for (int run = 0; run < 10; ++run) {
      const auto start = std::chrono::steady_clock::now();
      layerwise::detail::parallel_chunks(size, chunk, [&](index first, index count) {
        sums[static_cast<std::size_t>(first / chunk)] = Eigen::ArrayXf::Map(data.data() + first, count).sum();
      });
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      // Used, so that it is done: all sums are exact.
      if (sums.front() == static_cast<float>(chunk))
        best = std::max(best, static_cast<double>(size) * sizeof(float) / seconds.count());
    }
    return best;
  }();
  return bandwidth;
}

}  // namespace layerwise_bench
