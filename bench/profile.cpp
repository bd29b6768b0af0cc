// The profile of a stack of layers: both scores and all metrics per token.
#include <layerwise/profile.hpp>

#include "regression_data.hpp"

#include <benchmark/benchmark.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace {

using namespace layerwise_bench;

/// A whole stack of 5 layers, 4 pairs, both scores and all metrics per token of each.
template <class Scalar, int order>
void profile(benchmark::State& state) {
  const auto& data = pair_of<Scalar, order>(state.range(0), state.range(1));
  const auto& expected = expected_scores<Scalar, order>(data.tokens(), data.dims());
  std::vector<matrix<Scalar, order>> stack = {data.before, data.after};
  for (int l = 2; l < 5; ++l) stack.push_back(stack[static_cast<std::size_t>(l - 2)]);
  const layerwise::layer_profile check = layerwise::profile(stack);
  if (!close(scores_of(check.layers[0]), expected) || !close(scores_of(check.layers[2]), expected))
    return state.SkipWithError("wrong score");
  measure(state, data, static_cast<int>(state.range(2)), 4, [&] { return layerwise::profile(stack); });
}

/// 2 pairs of column-major states, in turns with row-major ones. of_row_major: the share of their speed.
void column_major(benchmark::State& state) {
  const layerwise::index n = state.range(0), d = state.range(1);
  const auto& row_data = pair_of<float, Eigen::RowMajor>(n, d);
  const auto& col_data = pair_of<float, Eigen::ColMajor>(n, d);
  const std::vector rows = {row_data.before, row_data.after, row_data.before};
  const std::vector cols = {col_data.before, col_data.after, col_data.before};
  const auto& expected = expected_scores<float, Eigen::RowMajor>(n, d);
  if (!close(scores_of(layerwise::profile(rows).layers[0]), expected) ||
      !close(scores_of(layerwise::profile(cols).layers[0]), expected))
    return state.SkipWithError("wrong score");
  const thread_scope threads(static_cast<int>(state.range(2)));
  double by_rows = HUGE_VAL, by_cols = HUGE_VAL;
  best_seconds(state, [&] {
    by_rows = std::min(by_rows, seconds_of([&] { benchmark::DoNotOptimize(layerwise::profile(rows)); }));
    by_cols = std::min(by_cols, seconds_of([&] { benchmark::DoNotOptimize(layerwise::profile(cols)); }));
    return by_cols;
  });
  state.counters["of_row_major"] = by_rows / by_cols;
}

void sizes(benchmark::internal::Benchmark* b) {
  usual(b->ArgNames({"n", "d", "threads"}));
  for (const auto& [n, d] : quoted_sizes())
    for (const int threads : thread_counts()) b->Args({n, d, threads});
}
void one_size(benchmark::internal::Benchmark* b) {
  usual(b->ArgNames({"n", "d", "threads"})->Args({8192, 768, max_threads()}));
}
void all_thread_counts(benchmark::internal::Benchmark* b) {
  usual(b->ArgNames({"n", "d", "threads"}));
  for (const int threads : thread_counts()) b->Args({8192, 768, threads});
}

BENCHMARK(profile<float, Eigen::RowMajor>)->Apply(sizes);
BENCHMARK(profile<float, Eigen::ColMajor>)->Apply(one_size);
BENCHMARK(column_major)->Apply(all_thread_counts);
BENCHMARK(profile<double, Eigen::RowMajor>)->Apply(one_size);
BENCHMARK(profile<Eigen::half, Eigen::RowMajor>)->Apply(one_size);
BENCHMARK(profile<Eigen::bfloat16, Eigen::RowMajor>)->Apply(one_size);

}  // namespace
