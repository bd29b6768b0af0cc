#pragma once

#include "next_token_loss.hpp"
#include "residual_stream.hpp"
#include "sequences.hpp"

#include <layerwise/data.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

namespace examples::layerwise_llama {

struct run_options {
  int threads = 1;
  index micro_batch = 512;  // the most tokens that the model sees at once
  bool exact = false;       // attention in float32, where llama.cpp has keys and values in 16 bits
};

/// Where the time of a run went.
struct run_seconds {
  std::chrono::duration<double> model{}, copies{}, body{};
};

/// Runs a model on sequences of tokens and shows its residual stream, a micro-batch at a time.
class model_run {
 public:
  using states = std::vector<layerwise::any_view>;
  using batch_body = std::function<void(const states&, index first_token, index tokens)>;

  /// Runs a few tokens to find the stream. Throws input_error for a graph in which it can't be told, and what llama.cpp
  /// refuses. The model and the sequences must outlive it.
  model_run(const language_model& model, const token_sequences& sequences, const run_options& options);
  ~model_run();

  const residual_stream& stream() const;
  const token_sequences& sequences() const;

  /// body(those of h_0 ... h_L, first token, tokens) of each micro-batch, in the order of the tokens. The views are valid
  /// until it returns. Of the graph no more is computed than the last of them needs, or, where `loss` is to be known,
  /// all.
  ///
  /// Sequences are decoded one at a time, each from an empty memory, in micro-batches that llama.cpp does not divide:
  /// it would change the order of the rows. Memory: one micro-batch of the states.
  void each_batch(const std::vector<index>& wanted, const batch_body& body, next_token_loss* loss = nullptr) const;

  const run_seconds& seconds() const;
  index runs() const;  // how often the sequences were gone through

 private:
  class engine;
  std::unique_ptr<engine> engine_;
};

}  // namespace examples::layerwise_llama
