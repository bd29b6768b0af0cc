#pragma once

#include "corpus.hpp"
#include "measure.hpp"
#include "model.hpp"
#include "penalty.hpp"
#include "run_log.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace pretraining {

/// AdamW (0.9, 0.95), weight decay 0.1 on the matrices, gradients clipped to norm 1; the learning rate rises
/// linearly over the warm-up and then falls along a cosine to a twentieth.
struct training_options {
  std::int64_t steps = 5600;
  std::int64_t batch_size = 4;  // sequences a step
  std::int64_t length = 128;    // bytes a sequence
  double learning_rate = 3e-3;  // the highest
  std::int64_t warm_up = 200;   // steps
  std::uint64_t seed = 1;       // of the choice of sequences
  std::int64_t threads = 2;     // each computes its share of the batch, which must divide into them
  penalty_options penalty = {};
};

/// The steps after which to measure: about `count`, close together early, where most happens; 0 and the last
/// one are among them.
std::vector<std::int64_t> measured_steps(std::int64_t steps, int count = 14);

/// Means over the steps since the last measurement; empty before the first step.
struct step_means {
  std::optional<double> loss, penalty;  // nats a byte without the penalty; the penalty as it was added
};

/// Trains the model on random sequences of `text` and calls after_step(step, ...) at measured steps, the
/// first time before any step, with the means since the call before. The same seed and number of threads give
/// the same model. Throws std::invalid_argument for options without meaning, std::runtime_error if the loss
/// stops being finite.
void train(decoder& model, const corpus& text, const training_options& options,
           const std::function<void(std::int64_t step, const step_means&)>& after_step);

}  // namespace pretraining
