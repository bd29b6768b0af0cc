// What the processor can do at most: multiply-adds of float64 on registers, no memory.
#pragma once

#include "regression_data.hpp"

#include <benchmark/benchmark.h>

#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace layerwise_bench {

/// s = s / 2 + 1, `steps` times, for 12 packets s at once: more than there are multiply-adds under way. The
/// sum of all elements, each of which gets to 2.
template <int... p>
double sum_on_registers(int steps, const std::array<double, sizeof...(p)>& start, std::integer_sequence<int, p...>) {
  using namespace Eigen::internal;
  using packet = packet_traits<double>::type;
  packet sums[] = {pset1<packet>(start[p])...};
  const packet half = pset1<packet>(0.5), one = pset1<packet>(1.0);
  for (int i = 0; i < steps; ++i) ((sums[p] = pmadd(sums[p], half, one)), ...);
  return (predux(sums[p]) + ...);
}

/// Flops a second of multiply-adds on registers, with the threads that are set: the best of as many runs of
/// some 20 ms as a fifth of a second holds.
inline double peak_rate() {
  constexpr int packets = 12, size = Eigen::internal::packet_traits<double>::size, steps = 1 << 23;
  const int threads = max_threads();
  std::array<double, packets> start;
  for (std::size_t i = 0; i < start.size(); ++i) start[i] = static_cast<double>(i);
  benchmark::DoNotOptimize(start);  // else the 12 may be found to be few
  double best = HUGE_VAL, total = 0;
  while (total < 0.2) {
    double sum = 0;
    const double seconds = seconds_of([&] {
#ifdef _OPENMP
#pragma omp parallel for reduction(+ : sum) schedule(static, 1)
#endif
      for (int thread = 0; thread < threads; ++thread)
        sum += sum_on_registers(steps, start, std::make_integer_sequence<int, packets>());
    });
    if (sum != 2. * threads * packets * size) throw std::logic_error("peak_rate: a wrong sum");
    best = std::min(best, seconds);
    total += seconds;
  }
  return 2. * threads * packets * size * static_cast<double>(steps) / best;
}

}  // namespace layerwise_bench
