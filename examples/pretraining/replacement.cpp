#include "replacement.hpp"

#include <layerwise/interop/torch.hpp>
#include <layerwise/metrics.hpp>
#include <layerwise/profile.hpp>
#include <layerwise/solve.hpp>

#include <ATen/ATen.h>

namespace pretraining {
namespace {

/// A copy in float32.
at::Tensor to_tensor(const Eigen::Ref<const Eigen::MatrixXd>& m) {
  at::Tensor out = at::empty({m.rows(), m.cols()}, at::kFloat);
  for (Eigen::Index i = 0; i < m.rows(); ++i)
    for (Eigen::Index j = 0; j < m.cols(); ++j) out.data_ptr<float>()[i * m.cols() + j] = static_cast<float>(m(i, j));
  return out;
}

}  // namespace

at::Tensor affine_map::operator()(const at::Tensor& x) const { return at::matmul(x, weight) + bias; }

at::Tensor logits_without_layer(const decoder& model, const at::Tensor& ids, std::int64_t l, const affine_map& map) {
  at::Tensor h = model.embed(ids);
  for (std::int64_t k = 1; k <= model.shape().layers; ++k) h = k == l ? map(h) : model.apply_layer(k, h);
  return model.read_out(h);
}

replacement_record replace_layers(const decoder& model, const corpus& training, const corpus& held_out,
                                  const measure_options& o) {
  const at::NoGradGuard no_gradients;
  // d^2 coefficients for d outputs: at d = 96, 2^15 bytes are some 300 rows for each.
  const batch seen = training.even_batch(o.sequences, o.length), unseen = held_out.even_batch(o.sequences, o.length);
  std::vector<at::Tensor> states;
  for (const at::Tensor& h : model.forward(seen.inputs).states) states.push_back(h.flatten(0, 1));
  const layerwise::layer_profile profile = layerwise::profile(states);

  replacement_record record;
  record.held_out_loss = mean_loss(unseen, o.threads, [&](const at::Tensor& ids) { return model.forward(ids).logits; });
  for (std::int64_t l = 1; l <= model.shape().layers; ++l) {
    const auto k = static_cast<std::size_t>(l);
    const layerwise::linear_map fit = layerwise::fit_linear_map(states[k - 1], states[k]);
    const affine_map map{to_tensor(fit.weight), to_tensor(fit.bias).flatten()};
    const double loss =
        mean_loss(unseen, o.threads, [&](const at::Tensor& ids) { return logits_without_layer(model, ids, l, map); });
    record.layers.push_back({profile.layers[k - 1], loss});
  }
  return record;
}

}  // namespace pretraining
