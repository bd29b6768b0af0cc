// The profile of a stack of layers: both scores and all metrics per token.
#include <layerwise/profile.hpp>

#include "regression_data.hpp"

#include <benchmark/benchmark.h>

#include <Eigen/Core>

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

void sizes(benchmark::internal::Benchmark* b) {
  usual(b->ArgNames({"n", "d", "threads"}));
  for (const auto& [n, d] : quoted_sizes())
    for (const int threads : thread_counts()) b->Args({n, d, threads});
}
void one_size(benchmark::internal::Benchmark* b) {
  usual(b->ArgNames({"n", "d", "threads"})->Args({8192, 768, max_threads()}));
}

BENCHMARK(profile<float, Eigen::RowMajor>)->Apply(sizes);
BENCHMARK(profile<float, Eigen::ColMajor>)->Apply(one_size);
BENCHMARK(profile<double, Eigen::RowMajor>)->Apply(one_size);
BENCHMARK(profile<Eigen::half, Eigen::RowMajor>)->Apply(one_size);
BENCHMARK(profile<Eigen::bfloat16, Eigen::RowMajor>)->Apply(one_size);

}  // namespace
