#include <layerwise/layerwise.hpp>

#include <iostream>
#include <vector>

int main() {
  // The hidden states h_0 ... h_3 of a small residual network: one row per token, one column per dimension.
  const Eigen::MatrixXf weight = 0.2f * Eigen::MatrixXf::Random(32, 32);
  std::vector<Eigen::MatrixXf> hidden_states = {Eigen::MatrixXf::Random(1000, 32)};
  for (int layer = 1; layer <= 3; ++layer) {
    const Eigen::MatrixXf& h = hidden_states.back();
    hidden_states.emplace_back(h + (h * weight).array().tanh().matrix());
  }
  for (const layerwise::layer_metrics& layer : layerwise::profile(hidden_states).layers)
    std::cout << "linearity " << layer.linearity->score << ", displacement " << layer.displacement << '\n';
}
