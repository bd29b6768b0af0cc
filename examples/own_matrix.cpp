// A matrix class of your own joins with one specialization, and is read where it is.
#include <layerwise/layerwise.hpp>

#include <iostream>
#include <random>
#include <vector>

/// An engine's activations: rows padded to whole cache lines.
struct activations {
  layerwise::index tokens, width, pitch;
  std::vector<float> values;

  activations(layerwise::index n, layerwise::index d)
      : tokens(n), width(d), pitch((d + 15) / 16 * 16), values(static_cast<std::size_t>(n * pitch)) {}
  float& at(layerwise::index token, layerwise::index i) { return values[static_cast<std::size_t>(token * pitch + i)]; }
};

template <>
struct layerwise::embedding_traits<activations> {
  static strided_view<const float> view(const activations& m) { return {m.values.data(), m.tokens, m.width, m.pitch}; }
  static strided_view<float> view(activations& m) { return {m.values.data(), m.tokens, m.width, m.pitch}; }
};

int main() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<activations> states(3, activations(500, 20)), gradients = states;
  for (int token = 0; token < 500; ++token)
    for (int i = 0; i < 20; ++i) {
      float h = 0;
      for (activations& layer : states) layer.at(token, i) = h += normal(random);
    }

  std::cout << "linearity " << layerwise::linearity_score(states[0], states[1]) << '\n';
  for (const layerwise::layer_metrics& layer : layerwise::profile(states).layers)
    std::cout << "displacement " << layer.displacement << '\n';
  const layerwise::jreg_regularizer jreg{.lambda = 1.0, .alpha = 1.0};
  std::cout << "JREG " << jreg.value_and_gradient(states, gradients) << ", its gradient at h_2 begins with "
            << gradients[2].at(0, 0) << '\n';
}
