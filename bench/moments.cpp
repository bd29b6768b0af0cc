// The moments of a layer pair from float32 rows: reading, centring and the two products.
#include <layerwise/linearity.hpp>
#include <layerwise/moments.hpp>

#include "regression_data.hpp"

#include <benchmark/benchmark.h>

namespace {

using namespace layerwise_bench;

void moments(benchmark::State& state) {
  const layer_pair data(state.range(0), state.range(1));
  layerwise::cross_moments check;
  check.add(data.before, data.after);
  if (!close(layerwise::linearity_score(check), reference_scores(data).linearity))
    return state.SkipWithError("wrong score");
  for ([[maybe_unused]] auto _ : state) {
    layerwise::cross_moments m;
    m.add(data.before, data.after);
    benchmark::DoNotOptimize(m);
  }
  report(state, 1, data);
}

BENCHMARK(moments)
    ->ArgNames({"n", "d"})
    ->Args({8192, 256})
    ->Args({8192, 768})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
