// Classes of your own join with one specialization each: a matrix in memory is read where it is; what is not in memory
// as it is to be read, here a quantized matrix, gives its rows.
#include <layerwise/layerwise.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
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

/// The same in 8 bits an element, with a scale for each row.
struct quantized_activations {
  layerwise::index tokens, width;
  std::vector<float> scales;
  std::vector<std::int8_t> codes;

  explicit quantized_activations(activations& m)
      : tokens(m.tokens), width(m.width), codes(static_cast<std::size_t>(m.tokens * m.width)) {
    for (layerwise::index token = 0; token < tokens; ++token) {
      float largest = 0;
      for (layerwise::index i = 0; i < width; ++i) largest = std::max(largest, std::abs(m.at(token, i)));
      scales.push_back(largest / 127);
      for (layerwise::index i = 0; i < width; ++i)
        codes[static_cast<std::size_t>(token * width + i)] =
            static_cast<std::int8_t>(std::lround(m.at(token, i) / scales.back()));
    }
  }
};

template <>
struct layerwise::embedding_traits<quantized_activations> {
  static index rows(const quantized_activations& m) { return m.tokens; }
  static index cols(const quantized_activations& m) { return m.width; }
  static void read_row(const quantized_activations& m, index token, double* out) {
    const std::int8_t* row = m.codes.data() + token * m.width;
    for (index i = 0; i < m.width; ++i) out[i] = double{m.scales[static_cast<std::size_t>(token)]} * row[i];
  }
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
  const quantized_activations before(states[0]), after(states[1]);
  std::cout << "in 8 bits " << layerwise::linearity_score(before, after) << '\n';
  for (const layerwise::layer_metrics& layer : layerwise::profile(states).layers)
    std::cout << "displacement " << layer.displacement << '\n';
  const layerwise::jreg_regularizer jreg{.lambda = 1.0, .alpha = 1.0};
  std::cout << "JREG " << jreg.value_and_gradient(states, gradients) << ", its gradient at h_2 begins with "
            << gradients[2].at(0, 0) << '\n';
}
