// A score from float32 rows to the certified result, by each solver; and the solution alone, from moments.
#include <layerwise/least_squares.hpp>
#include <layerwise/linearity.hpp>

#include "regression_data.hpp"

#include <benchmark/benchmark.h>

namespace {

using namespace layerwise_bench;

/// One call per score: what a user who wants one of them pays.
void linearity(benchmark::State& state) {
  const layer_pair data(state.range(0), state.range(1));
  const reference_scores expected(data);
  const auto method = static_cast<layerwise::solver>(state.range(2));
  const layerwise::linearity_options options{.method = method};
  if (!close(layerwise::linearity_score(data.before, data.after, options), expected.linearity) ||
      !close(layerwise::residual_linearity_score(data.before, data.after, options),
             expected.residual_linearity))
    return state.SkipWithError("wrong score");
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(layerwise::linearity(data.before, data.after, options));
  report(state, 1, data);
}

void solution(benchmark::State& state) {
  const layer_pair data(state.range(0), state.range(1));
  layerwise::cross_moments m;
  m.add(data.before, data.after);
  const layerwise::linearity_options options{.method = static_cast<layerwise::solver>(state.range(2))};
  if (!close(layerwise::residual_linearity_score(m, options), reference_scores(data).residual_linearity))
    return state.SkipWithError("wrong score");
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(layerwise::linearity(m, options));
}

constexpr auto cholesky = static_cast<int>(layerwise::solver::cholesky);
constexpr auto orthogonal = static_cast<int>(layerwise::solver::orthogonal);
constexpr auto rank_revealing = static_cast<int>(layerwise::solver::rank_revealing);

BENCHMARK(linearity)
    ->ArgNames({"n", "d", "solver"})
    ->Args({8192, 256, cholesky})
    ->Args({8192, 768, cholesky})
    ->Args({16384, 576, cholesky})
    ->Args({8192, 256, orthogonal})
    ->Args({8192, 768, orthogonal})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(solution)
    ->ArgNames({"n", "d", "solver"})
    ->Args({2048, 256, cholesky})
    ->Args({2048, 768, cholesky})
    ->Args({2048, 768, rank_revealing})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
