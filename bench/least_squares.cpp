// Scores from rows to the certified result, by each solver; and the solution alone, from moments.
#include <layerwise/metrics.hpp>
#include <layerwise/solve/detail/regression.hpp>

#include "regression_data.hpp"

#include <benchmark/benchmark.h>

#include <Eigen/Core>

namespace {

using namespace layerwise_bench;
using layerwise::solver;

constexpr const char* solver_names[] = {"automatic", "cholesky", "orthogonal", "rank_revealing"};

solver solver_of(benchmark::State& state) {
  state.SetLabel(solver_names[state.range(2)]);
  return static_cast<solver>(state.range(2));
}

/// Both scores of a pair, in one pass over the data.
template <class Scalar, int order>
void pair(benchmark::State& state) {
  const auto& data = pair_of<Scalar, order>(state.range(0), state.range(1));
  const solver method = solver_of(state);
  if (!close(both_scores(data, method), expected_scores<Scalar, order>(data.tokens(), data.dims())))
    return state.SkipWithError("wrong score");
  measure(state, data, static_cast<int>(state.range(3)), 1, [&] { return both_scores(data, method); });
}

/// One call per score: what a user who wants one of them pays.
void linearity(benchmark::State& state) {
  const auto& data = pair_of<float, Eigen::RowMajor>(state.range(0), state.range(1));
  const auto& expected = expected_scores<float, Eigen::RowMajor>(data.tokens(), data.dims());
  const layerwise::linearity_options options{.method = solver_of(state)};
  if (!close({layerwise::linearity_score(data.before, data.after, options),
              layerwise::residual_linearity_score(data.before, data.after, options)},
             expected))
    return state.SkipWithError("wrong score");
  measure(state, data, static_cast<int>(state.range(3)), 1,
          [&] { return layerwise::linearity(data.before, data.after, options); });
}

/// From moments to one score: O(d^3).
void solution(benchmark::State& state) {
  const auto& data = pair_of<float, Eigen::RowMajor>(state.range(0), state.range(1));
  const layerwise::linearity_options options{.method = solver_of(state)};
  layerwise::cross_moments m;
  m.add(data.before, data.after);
  const auto& expected = expected_scores<float, Eigen::RowMajor>(data.tokens(), data.dims());
  if (!close({layerwise::linearity_score(m, options), layerwise::residual_linearity_score(m, options)}, expected))
    return state.SkipWithError("wrong score");
  const thread_scope threads(static_cast<int>(state.range(3)));
  best_seconds(state, [&] { return layerwise::linearity(m, options); });
}

void arguments(benchmark::internal::Benchmark* b) { usual(b->ArgNames({"n", "d", "solver", "threads"})); }

/// The quoted sizes, the automatic solver, one thread and all.
void sizes(benchmark::internal::Benchmark* b) {
  arguments(b);
  for (const auto& [n, d] : quoted_sizes())
    for (const int threads : thread_counts()) b->Args({n, d, static_cast<int>(solver::automatic), threads});
}
/// And the plotted ones.
void all_sizes(benchmark::internal::Benchmark* b) {
  sizes(b);
  for (const auto& [n, d] : plotted_sizes()) b->Args({n, d, static_cast<int>(solver::automatic), max_threads()});
}
void plotted_dims(benchmark::internal::Benchmark* b) {
  arguments(b);
  for (const auto& [n, d] : plotted_sizes())
    if (n == 4096) b->Args({n, d, static_cast<int>(solver::automatic), max_threads()});
}
void one_size(benchmark::internal::Benchmark* b) {
  arguments(b);
  b->Args({8192, 768, static_cast<int>(solver::automatic), max_threads()});
}
void solvers(benchmark::internal::Benchmark* b) {
  arguments(b);
  for (const solver method : {solver::cholesky, solver::orthogonal, solver::rank_revealing})
    for (const int threads : thread_counts()) b->Args({8192, 768, static_cast<int>(method), threads});
}
void moment_solvers(benchmark::internal::Benchmark* b) {
  arguments(b);
  for (const solver method : {solver::cholesky, solver::rank_revealing})
    b->Args({8192, 768, static_cast<int>(method), max_threads()});
}

BENCHMARK(pair<float, Eigen::RowMajor>)->Apply(all_sizes);
BENCHMARK(pair<float, Eigen::RowMajor>)->Apply(solvers);
BENCHMARK(pair<float, Eigen::ColMajor>)->Apply(one_size);
BENCHMARK(pair<double, Eigen::RowMajor>)->Apply(one_size);
BENCHMARK(pair<double, Eigen::ColMajor>)->Apply(one_size);
BENCHMARK(pair<Eigen::half, Eigen::RowMajor>)->Apply(one_size);
BENCHMARK(pair<Eigen::half, Eigen::ColMajor>)->Apply(one_size);
BENCHMARK(pair<Eigen::bfloat16, Eigen::RowMajor>)->Apply(one_size);
BENCHMARK(pair<Eigen::bfloat16, Eigen::ColMajor>)->Apply(one_size);
BENCHMARK(linearity)->Apply(sizes);
BENCHMARK(solution)->Apply(plotted_dims);
BENCHMARK(solution)->Apply(moment_solvers);

}  // namespace
