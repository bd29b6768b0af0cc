// The profile of a stack of layers: both scores and all metrics per token.
#include <layerwise/profile.hpp>

#include "regression_data.hpp"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <vector>

namespace {

using namespace layerwise_bench;

/// A whole stack of 5 layers, 4 pairs, both scores and all metrics per token of each.
void profile(benchmark::State& state) {
  const layer_pair data(state.range(0), state.range(1));
  const reference_scores expected(data);
  std::vector<float_rows> stack = {data.before, data.after};
  for (int l = 2; l < 5; ++l) stack.push_back(stack[static_cast<std::size_t>(l - 2)]);
  const layerwise::layer_profile check = layerwise::profile(stack);
  if (!close(check.layers[0].linearity->score, expected.linearity) ||
      !close(check.layers[2].residual_linearity->score, expected.residual_linearity))
    return state.SkipWithError("wrong score");
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(layerwise::profile(stack));
  report(state, 4, data);
}

BENCHMARK(profile)
    ->ArgNames({"n", "d"})
    ->Args({8192, 256})
    ->Args({8192, 768})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
