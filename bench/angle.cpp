// Angles between neighbouring layers of a dump of 13 x 4096 x 768, per token, and how near they come to
// reading memory and nothing else. Each layer pair is a call of its own, so inner layers are read twice, and
// counted twice.
#include <layerwise/metrics.hpp>

#include "dump.hpp"

#include <benchmark/benchmark.h>

#include <Eigen/Core>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <string>
#include <vector>

namespace {

using namespace layerwise_bench;
using layerwise::hidden_states_view;
using layerwise::index;

enum class order { layer_token_dim, token_layer_dim };

template <class Scalar>
hidden_states_view<Scalar> view_of(std::vector<Scalar>& dump, order in) {
  return in == order::layer_token_dim ? hidden_states_view<Scalar>::layer_major(dump.data(), layers, tokens, dims)
                                      : hidden_states_view<Scalar>::token_major(dump.data(), tokens, layers, dims);
}

/// The textbook formulas in long double.
struct expected_values {
  double cosine, displacement, angular_distance, contribution;

  template <class View>
  expected_values(const View& before, const View& after, index token) {
    long double uu = 0, vv = 0, uv = 0, step = 0;
    for (index j = 0; j < dims; ++j) {
      const long double u = static_cast<double>(before(token, j)), v = static_cast<double>(after(token, j));
      uu += u * u, vv += v * v, uv += u * v, step += (v - u) * (v - u);
    }
    const long double c = uv / std::sqrt(uu * vv);
    cosine = static_cast<double>(c);
    displacement = static_cast<double>((1 - c) / 2);
    angular_distance = static_cast<double>(std::acos(c) / std::numbers::pi_v<long double>);
    contribution = static_cast<double>(std::sqrt(step / vv));
  }
};

/// Measures call(before, after), a VectorXd that must be the expected values' `member`.
template <class Scalar, class Call>
void measure(benchmark::State& state, order in, double expected_values::* member, const Call& call) {
  std::vector<Scalar> dump = make_dump<Scalar>();
  const auto h = view_of(dump, in);
  for (index l = 1; l < layers; l += layers - 2) {  // the first and the last pair
    const Eigen::VectorXd got = call(h[l - 1], h[l]);
    for (index t = 0; t < tokens; t += 15)
      if (!(std::abs(got[t] - expected_values(h[l - 1], h[l], t).*member) < 1e-12)) {
        state.SkipWithError(("wrong at layer " + std::to_string(l) + ", token " + std::to_string(t)).c_str());
        return;
      }
  }
  for ([[maybe_unused]] auto _ : state)
    for (index l = 1; l < layers; ++l) benchmark::DoNotOptimize(call(h[l - 1], h[l]));
  const double bytes = 2. * (layers - 1) * tokens * dims * sizeof(Scalar);
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes) * state.iterations());
  state.counters["of_plain_read"] =
      benchmark::Counter(bytes / plain_read_bandwidth(), benchmark::Counter::kIsIterationInvariantRate);
}

template <class Scalar>
void displacement(benchmark::State& state) {
  measure<Scalar>(state, static_cast<order>(state.range(0)), &expected_values::displacement,
                  [](const auto& before, const auto& after) { return layerwise::displacement(before, after); });
}
void cosine_similarity(benchmark::State& state) {
  measure<float>(state, order::layer_token_dim, &expected_values::cosine,
                 [](const auto& before, const auto& after) { return layerwise::cosine_similarity(before, after); });
}
void angular_distance(benchmark::State& state) {
  measure<float>(state, order::layer_token_dim, &expected_values::angular_distance,
                 [](const auto& before, const auto& after) { return layerwise::angular_distance(before, after); });
}
void contribution_ratio(benchmark::State& state) {
  measure<float>(state, order::layer_token_dim, &expected_values::contribution,
                 [](const auto& before, const auto& after) { return layerwise::contribution_ratio(before, after); });
}

void orders(benchmark::internal::Benchmark* b) {
  b->ArgName("token_major")
      ->Arg(static_cast<int>(order::layer_token_dim))
      ->Arg(static_cast<int>(order::token_layer_dim));
}

BENCHMARK(displacement<float>)->Apply(orders)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(displacement<double>)->Apply(orders)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(displacement<Eigen::half>)->Apply(orders)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(displacement<Eigen::bfloat16>)->Apply(orders)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(cosine_similarity)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(angular_distance)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(contribution_ratio)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
