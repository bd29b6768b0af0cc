// The three regularizers on a dump of 13 x 4096 x 768, values alone and with gradients. A value reads the
// states once: how near does it come to reading memory and nothing else? A gradient is read and written on
// top: how near does that come to adding one array to another?
#include <layerwise/training.hpp>

#include "dump.hpp"

#include <benchmark/benchmark.h>

#include <Eigen/Core>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using namespace layerwise_bench;
using layerwise::hidden_states_view;
using layerwise::index;

using long_rows = Eigen::Matrix<long double, layers, Eigen::Dynamic, Eigen::RowMajor>;

/// The textbook formula of one token's value in long double; h: layers x dims.
long double definition(const layerwise::mse_regularizer& r, const long_rows& h) {
  long double sum = 0;
  for (index l = 1; l < layers; ++l) sum += (h.row(l) - h.row(l - 1)).squaredNorm();
  return static_cast<long double>(r.lambda) * sum;
}

long double turn(const long_rows& h, index l) {
  return 1 - h.row(l).dot(h.row(l - 1)) / (h.row(l).norm() * h.row(l - 1).norm());
}
long double definition(const layerwise::cosine_regularizer& r, const long_rows& h) {
  long double sum = 0;
  for (index l = 1; l < layers; ++l) sum += turn(h, l);
  return static_cast<long double>(r.lambda) * sum;
}
long double definition(const layerwise::jreg_regularizer& r, const long_rows& h) {
  long double sum = 0, weights = 0;
  for (index l = 1; l < layers; ++l) {
    const long double weight = std::exp(static_cast<long double>(r.alpha) * static_cast<long double>(l));
    sum += weight * turn(h, l) / 2;
    weights += weight;
  }
  return static_cast<long double>(r.lambda) * sum / weights;
}

template <class View>
long_rows rows_of(const View& h, index token) {
  return long_rows::NullaryExpr(
      layers, dims, [&](index l, index j) { return static_cast<long double>(static_cast<double>(h[l](token, j))); });
}

/// What is wrong with the value and the gradients of `r`, or nothing: the value against the definition,
/// gradients against differences of it in a few elements.
template <class Regularizer, class View>
std::string fault(const Regularizer& r, const View& h) {
  long double sum = 0;
  for (index t = 0; t < tokens; ++t) sum += definition(r, rows_of(h, t));
  const auto expected = static_cast<double>(sum / static_cast<long double>(tokens));
  if (!(std::abs(r.value(h) - expected) < 1e-12 * expected)) return "the value is wrong";

  std::vector<double> gradient(static_cast<std::size_t>(size));
  const auto g = hidden_states_view<double>::layer_major(gradient.data(), layers, tokens, dims);
  if (r.value_and_gradient(h, g) != r.value(h)) return "the value with gradient is another one";
  for (index i = 0; i < 40; ++i) {
    const index l = i % layers, t = 101 * i % tokens, j = 37 * i % dims;
    long_rows rows = rows_of(h, t);
    const long double x = rows(l, j), step = 0x1p-16L;
    rows(l, j) = x + step;
    const long double above = definition(r, rows);
    rows(l, j) = x - step;
    const long double below = definition(r, rows);
    const auto slope = static_cast<double>((above - below) / (2 * step) / static_cast<long double>(tokens));
    // The differences are good to 1e-9 of an element of usual size.
    if (!(std::abs(g[l](t, j) - slope) < 1e-6 * std::abs(slope) + 1e-9 / static_cast<double>(tokens)))
      return "the gradient is wrong at layer " + std::to_string(l) + ", token " + std::to_string(t);
  }
  return {};
}

template <class Scalar, bool with_gradient, class Regularizer>
void measure(benchmark::State& state, const Regularizer& r) {
  const std::vector<Scalar> dump = make_dump<Scalar>();
  const bool token_major = state.range(0) != 0;
  const auto view = [&]<class T>(T* data) {
    return token_major ? hidden_states_view<T>::token_major(data, tokens, layers, dims)
                       : hidden_states_view<T>::layer_major(data, layers, tokens, dims);
  };
  const auto h = view(dump.data());
  if (const std::string what = fault(r, h); !what.empty()) {
    state.SkipWithError(what.c_str());
    return;
  }
  std::vector<Scalar> gradient(with_gradient ? dump.size() : 0);
  for ([[maybe_unused]] auto _ : state) {
    if constexpr (with_gradient)
      benchmark::DoNotOptimize(r.value_and_gradient(h, view(gradient.data())));
    else
      benchmark::DoNotOptimize(r.value(h));
  }
  const double bytes = (with_gradient ? 3. : 1.) * static_cast<double>(size) * sizeof(Scalar);
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes) * state.iterations());
  state.counters[with_gradient ? "of_plain_update" : "of_plain_read"] =
      benchmark::Counter(bytes / (with_gradient ? plain_update_bandwidth() : plain_read_bandwidth()),
                         benchmark::Counter::kIsIterationInvariantRate);
}

template <class Scalar, bool with_gradient>
void mse(benchmark::State& state) {
  measure<Scalar, with_gradient>(state, layerwise::mse_regularizer{0.5});
}
template <class Scalar, bool with_gradient>
void cosine(benchmark::State& state) {
  measure<Scalar, with_gradient>(state, layerwise::cosine_regularizer{0.5});
}
template <class Scalar, bool with_gradient>
void jreg(benchmark::State& state) {
  measure<Scalar, with_gradient>(state, layerwise::jreg_regularizer{1, 0.5});
}

void orders(benchmark::internal::Benchmark* b) {
  b->ArgName("token_major")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
}

BENCHMARK(mse<float, false>)->Apply(orders);
BENCHMARK(mse<float, true>)->Apply(orders);
BENCHMARK(cosine<float, false>)->Apply(orders);
BENCHMARK(cosine<float, true>)->Apply(orders);
BENCHMARK(jreg<float, false>)->Apply(orders);
BENCHMARK(jreg<float, true>)->Apply(orders);
BENCHMARK(cosine<Eigen::bfloat16, false>)->Apply(orders);
BENCHMARK(cosine<Eigen::bfloat16, true>)->Apply(orders);

}  // namespace
