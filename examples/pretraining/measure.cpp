#include "measure.hpp"

#include "shards.hpp"

#include <layerwise/interop/torch.hpp>
#include <layerwise/profile.hpp>

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

namespace pretraining {

double mean_loss(const batch& text, std::int64_t threads,
                 const std::function<at::Tensor(const at::Tensor& inputs)>& predict) {
  constexpr std::int64_t chunk = 16;  // sequences: what fits in a cache
  const std::int64_t sequences = text.inputs.size(0);
  std::vector<double> sums(static_cast<std::size_t>((sequences + chunk - 1) / chunk));
  for_each_shard(threads, [&](std::int64_t shard) {
    const at::NoGradGuard no_gradients;
    for (auto i = shard; i < static_cast<std::int64_t>(sums.size()); i += threads) {
      const auto part = [&](const at::Tensor& all) {
        return all.slice(0, i * chunk, std::min((i + 1) * chunk, sequences));
      };
      const auto inputs = part(text.inputs);
      sums[static_cast<std::size_t>(i)] =
          cross_entropy(predict(inputs), part(text.targets)).item<double>() * static_cast<double>(inputs.size(0));
    }
  });
  double sum = 0;
  for (const double value : sums) sum += value;
  return sum / static_cast<double>(sequences);
}

measurement measure(const decoder& model, const corpus& text, const measure_options& options) {
  const at::NoGradGuard no_gradients;
  const batch held_out = text.even_batch(options.sequences, options.length);
  measurement m;
  m.held_out_loss =
      mean_loss(held_out, options.threads, [&](const at::Tensor& ids) { return model.forward(ids).logits; });

  // Each k-th sequence, so that the profile, too, is of the whole text.
  const std::int64_t every = std::max<std::int64_t>(1, held_out.inputs.size(0) / options.profiled_sequences);
  std::vector<at::Tensor> states;
  for (const at::Tensor& h : model.forward(held_out.inputs.slice(0, 0, c10::nullopt, every)).states)
    states.push_back(h.flatten(0, 1));
  m.layers = layerwise::profile(states, {.final_norm = layerwise::final_norm::before}).layers;
  return m;
}

}  // namespace pretraining
