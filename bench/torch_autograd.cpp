// A penalty as autograd sees it: value and gradients of a regularizer by layerwise::penalty, and by the same
// formula in libtorch's own operations (eager mode), both with one thread. 13 x 4096 x 768, a layer stack of
// the usual kind, and 9 x 2048 x 96, that of examples/pretraining, in float32.
#include <layerwise/interop/torch_autograd.hpp>

#include <benchmark/benchmark.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

using tensors = std::vector<at::Tensor>;

/// Layers that turn by some degrees each, that require gradients.
tensors make_states(std::int64_t layers, std::int64_t tokens, std::int64_t dims) {
  at::manual_seed(1);
  tensors states{at::randn({tokens, dims})};
  while (static_cast<std::int64_t>(states.size()) < layers)
    states.push_back(states.back() + 0.2 * at::randn({tokens, dims}));
  for (at::Tensor& h : states) h = h.clone().requires_grad_();
  return states;
}

at::Tensor in_libtorch(const layerwise::mse_regularizer& r, const tensors& h) {
  at::Tensor sum = at::zeros({});
  for (std::size_t l = 1; l < h.size(); ++l) sum = sum + (h[l] - h[l - 1]).square().sum(-1).mean();
  return r.lambda * sum;
}

at::Tensor in_libtorch(const layerwise::cosine_regularizer& r, const tensors& h) {
  at::Tensor sum = at::zeros({});
  for (std::size_t l = 1; l < h.size(); ++l) sum = sum + (1 - at::cosine_similarity(h[l - 1], h[l], -1)).mean();
  return r.lambda * sum;
}

tensors gradients_of(const at::Tensor& value, const tensors& states) { return torch::autograd::grad({value}, states); }

/// What is wrong with ours by libtorch's formula in float64, or nothing.
template <class Regularizer>
std::string fault(const Regularizer& regularizer, const tensors& states) {
  tensors exact;
  for (const at::Tensor& h : states) exact.push_back(h.detach().to(at::kDouble).requires_grad_());
  const at::Tensor value = layerwise::penalty(regularizer, states), expected = in_libtorch(regularizer, exact);
  if (!at::allclose(value.to(at::kDouble), expected, 1e-6, 0)) return "the value is wrong";
  const tensors g = gradients_of(value, states), of_exact = gradients_of(expected, exact);
  for (std::size_t l = 0; l < g.size(); ++l)
    if (!at::allclose(g[l].to(at::kDouble), of_exact[l], 1e-5, 1e-6 * of_exact[l].abs().max().item<double>()))
      return "a gradient is wrong";
  return {};
}

template <class Penalty>
void run(benchmark::State& state, const tensors& states, const Penalty& penalty) {
  for (auto _ : state) benchmark::DoNotOptimize(gradients_of(penalty(states), states));
  double bytes = 0;
  for (const at::Tensor& h : states) bytes += static_cast<double>(h.nbytes());
  state.counters["states_GB/s"] = benchmark::Counter(bytes / 1e9, benchmark::Counter::kIsIterationInvariantRate);
}

template <class Regularizer>
void compare(const std::string& name, const Regularizer& regularizer, std::int64_t layers, std::int64_t tokens,
             std::int64_t dims) {
  const auto add = [&](const std::string& whose, const auto& penalty) {
    const std::string size = std::to_string(layers) + "x" + std::to_string(tokens) + "x" + std::to_string(dims);
    benchmark::RegisterBenchmark((name + "/" + size + "/" + whose).c_str(),
                                 [=](benchmark::State& state) {
                                   const tensors states = make_states(layers, tokens, dims);
                                   if (const std::string wrong = fault(regularizer, states); !wrong.empty())
                                     return state.SkipWithError(wrong.c_str());
                                   run(state, states, penalty);
                                 })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  add("layerwise", [=](const tensors& states) { return layerwise::penalty(regularizer, states); });
  add("libtorch", [=](const tensors& states) { return in_libtorch(regularizer, states); });
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(1);
#ifdef _OPENMP
  omp_set_num_threads(1);
#endif
  const layerwise::mse_regularizer mse{.lambda = 0.5};
  const layerwise::cosine_regularizer cosine{.lambda = 0.5};
  compare("mse", mse, 13, 4096, 768);
  compare("cosine", cosine, 13, 4096, 768);
  compare("mse", mse, 9, 2048, 96);
  compare("cosine", cosine, 9, 2048, 96);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
