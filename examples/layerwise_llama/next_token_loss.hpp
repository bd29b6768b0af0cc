#pragma once

#include "model.hpp"

namespace examples::layerwise_llama {

/// The mean cross entropy of next tokens, in nats.
class next_token_loss {
 public:
  /// Logits of a token and the token that came next: log sum exp(logits) - logits[next], which it gives back.
  double add(const float* logits, index vocabulary, token next);

  index predictions() const { return predictions_; }
  double mean() const { return sum_ / static_cast<double>(predictions_); }

 private:
  double sum_ = 0;
  index predictions_ = 0;
};

}  // namespace examples::layerwise_llama
