// What the benchmarks bound by memory share: a dump of hidden states, and how fast this machine
// reads one, or adds one to another.
#pragma once

#include <layerwise/data.hpp>
#include <layerwise/kernel/parallel.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <atomic>
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

/// bytes / the shortest time of twenty that walk(first, count) takes over all elements, in chunks shared out
/// among all threads. Measured anew at each call, so that it is close in time to what it is compared with.
template <class Walk>
double best_rate(double bytes, const Walk& walk) {
  double best = 0;
  for (int run = 0; run < 20; ++run) {
    const auto start = std::chrono::steady_clock::now();
    layerwise::detail::parallel_chunks(size, 1 << 16, walk);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, bytes / seconds.count());
  }
  return best;
}

/// Bytes a second at which all threads together sum up an array that no cache holds.
inline double plain_read_bandwidth() {
  const Eigen::ArrayXf data = Eigen::ArrayXf::Ones(size);
  std::atomic<index> wrong = 0;  // the sums are used, so that they are taken
  const double rate = best_rate(static_cast<double>(size) * sizeof(float), [&](index first, index count) {
    if (data.segment(first, count).sum() != static_cast<float>(count)) ++wrong;
  });
  return wrong == 0 ? rate : 0;
}

/// Bytes a second, two read and one written, at which they add a multiple of one array to another.
inline double plain_update_bandwidth() {
  const Eigen::ArrayXf x = Eigen::ArrayXf::Ones(size);
  Eigen::ArrayXf g = x;
  return best_rate(3. * static_cast<double>(size) * sizeof(float),
                   [&](index first, index count) { g.segment(first, count) += 0.5f * x.segment(first, count); });
}

}  // namespace layerwise_bench
