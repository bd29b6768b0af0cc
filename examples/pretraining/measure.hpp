#pragma once

#include "corpus.hpp"
#include "model.hpp"
#include "run_log.hpp"

#include <cstdint>
#include <functional>

namespace pretraining {

/// How much of the held-out text a measurement reads.
struct measure_options {
  std::int64_t sequences = 256;          // for the loss
  std::int64_t profiled_sequences = 64;  // for the profile of the hidden states: the first of them
  std::int64_t length = 128;
  std::int64_t threads = 1;
};

/// Mean loss of the model on a batch, `predict` its logits for some sequences of it; without gradients.
double mean_loss(const batch& text, std::int64_t threads,
                 const std::function<at::Tensor(const at::Tensor& inputs)>& predict);

/// Held-out loss and the profile of every layer; step, train_loss and penalty are the caller's to fill in.
/// Throws layerwise::error where the hidden states have no profile.
measurement measure(const decoder& model, const corpus& text, const measure_options& options);

}  // namespace pretraining
