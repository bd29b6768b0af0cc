// Inside an engine, layer by layer as they are produced: only the states before and after the layer exist, in
// two buffers that are used again and again. Per layer, the moments are kept (2 d^2 doubles) and the sum of
// displacements.
#include <layerwise/layerwise.hpp>

#include <iostream>
#include <utility>
#include <vector>

namespace {

constexpr int layers = 4, width = 48, batch = 64, batches = 20;

/// What the engine does in layer l: h + f(h), with a larger f in the last layer.
void run_layer(int l, const Eigen::MatrixXf& weight, const Eigen::MatrixXf& h, Eigen::MatrixXf& out) {
  const float gain = l == layers ? 3.f : 1.f;
  out = h + gain * (h * weight).array().tanh().matrix();
}

/// What the engine knows of layer l.
struct layer_record {
  layerwise::cross_moments moments;
  double displacement = 0;
};

}  // namespace

int main() {
  const Eigen::MatrixXf weight = 0.15f * Eigen::MatrixXf::Random(width, width);
  std::vector<layer_record> records(layers);
  Eigen::MatrixXf before(batch, width), after(batch, width);

  for (int b = 0; b < batches; ++b) {
    before.setRandom();  // the embeddings of the next tokens
    for (int l = 1; l <= layers; ++l) {
      run_layer(l, weight, before, after);
      layer_record& record = records[static_cast<std::size_t>(l - 1)];
      record.moments.add(before, after);
      record.displacement += layerwise::displacement(before, after).sum();
      std::swap(before, after);
    }
  }

  std::vector<double> displacements;
  displacements.reserve(records.size());
  for (const layer_record& r : records)
    displacements.push_back(r.displacement / static_cast<double>(r.moments.tokens()));
  for (int l = 1; l <= layers; ++l) {
    const layer_record& r = records[static_cast<std::size_t>(l - 1)];
    std::cout << "layer " << l << ": linearity " << layerwise::linearity_score(r.moments) << ", without the residual "
              << layerwise::residual_linearity_score(r.moments) << ", displacement "
              << displacements[static_cast<std::size_t>(l - 1)];
    if (l > 1) std::cout << ", jump rate " << layerwise::jump_rate(displacements, l);
    std::cout << '\n';
  }
}
