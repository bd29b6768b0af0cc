#pragma once

#include "corpus.hpp"
#include "measure.hpp"
#include "model.hpp"
#include "run_log.hpp"

#include <vector>

namespace pretraining {

/// An affine map of the rows of hidden states: x W + b.
struct affine_map {
  at::Tensor weight;  // [d][d]
  at::Tensor bias;    // [d]
  at::Tensor operator()(const at::Tensor& x) const;
};

/// The model's logits with layer l, 1...L, replaced by the map.
at::Tensor logits_without_layer(const decoder& model, const at::Tensor& ids, std::int64_t l, const affine_map& map);

/// Fits the linear map of every layer on sequences of `training` (fit_linear_map, arXiv 2405.12250), replaces
/// each layer in turn by it, and measures the loss on `held_out`. label and seed are the caller's to fill in.
replacement_record replace_layers(const decoder& model, const corpus& training, const corpus& held_out,
                                  const measure_options& options);

}  // namespace pretraining
