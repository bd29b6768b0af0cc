#include "next_token_loss.hpp"

#include <Eigen/Core>

#include <cmath>

namespace examples::layerwise_llama {

double next_token_loss::add(const float* logits, index vocabulary, token next) {
  const auto all = Eigen::Map<const Eigen::ArrayXf>(logits, vocabulary).cast<double>();
  const auto largest = static_cast<double>(Eigen::Map<const Eigen::ArrayXf>(logits, vocabulary).maxCoeff());
  const double nats = std::log((all - largest).exp().sum()) + largest - static_cast<double>(logits[next]);
  sum_ += nats;
  ++predictions_;
  return nats;
}

}  // namespace examples::layerwise_llama
