// The moments of a layer pair: reading, centring and the two products. Beside the counters of all benchmarks
//   of_peak       flops as a share of what multiply-adds on registers reach, measured right before and after
#include <layerwise/metrics.hpp>
#include <layerwise/statistics.hpp>

#include "peak.hpp"
#include "regression_data.hpp"

#include <benchmark/benchmark.h>

#include <Eigen/Core>

#include <algorithm>

namespace {

using namespace layerwise_bench;

template <class Scalar, int order>
void moments(benchmark::State& state) {
  const auto& data = pair_of<Scalar, order>(state.range(0), state.range(1));
  const auto call = [&] {
    layerwise::cross_moments m;
    m.add(data.before, data.after);
    return m;
  };
  if (!close(layerwise::linearity_score(call()), expected_scores<Scalar, order>(data.tokens(), data.dims()).linearity))
    return state.SkipWithError("wrong score");
  const int threads = static_cast<int>(state.range(2));
  const thread_scope scope(threads);
  double peak = peak_rate();
  measure(state, data, threads, 1, call);
  peak = std::max(peak, peak_rate());
  state.counters["of_peak"] = state.counters["flops"] / peak;
}

void sizes(benchmark::internal::Benchmark* b) {
  usual(b->ArgNames({"n", "d", "threads"}));
  for (const auto& [n, d] : quoted_sizes())
    for (const int threads : thread_counts()) b->Args({n, d, threads});
  for (const auto& [n, d] : plotted_sizes()) b->Args({n, d, max_threads()});
}
void one_size(benchmark::internal::Benchmark* b) {
  usual(b->ArgNames({"n", "d", "threads"})->Args({8192, 768, max_threads()}));
}

BENCHMARK(moments<float, Eigen::RowMajor>)->Apply(sizes);
BENCHMARK(moments<float, Eigen::ColMajor>)->Apply(one_size);
BENCHMARK(moments<double, Eigen::RowMajor>)->Apply(one_size);
BENCHMARK(moments<double, Eigen::ColMajor>)->Apply(one_size);
BENCHMARK(moments<Eigen::half, Eigen::RowMajor>)->Apply(one_size);
BENCHMARK(moments<Eigen::half, Eigen::ColMajor>)->Apply(one_size);
BENCHMARK(moments<Eigen::bfloat16, Eigen::RowMajor>)->Apply(one_size);
BENCHMARK(moments<Eigen::bfloat16, Eigen::ColMajor>)->Apply(one_size);

}  // namespace
