// Inside an engine, layer by layer as they are produced: only the states before and after a layer exist, in two buffers
// that are used again and again.
#include <layerwise/layerwise.hpp>

#include <iostream>
#include <utility>

namespace {

constexpr int layers = 4, width = 48, tokens = 64, batches = 20;

/// What the engine does in layer l: h + f(h), with a larger f in the last layer.
void run_layer(int l, const Eigen::MatrixXf& weight, const Eigen::MatrixXf& h, Eigen::MatrixXf& out) {
  const float gain = l == layers ? 3.f : 1.f;
  out = h + gain * (h * weight).array().tanh().matrix();
}

}  // namespace

int main() {
  const Eigen::MatrixXf weight = 0.15f * Eigen::MatrixXf::Random(width, width);
  Eigen::MatrixXf h(tokens, width), next(tokens, width);
  layerwise::layer_profiler profiler;
  layerwise::stack_batch batch;

  for (int b = 0; b < batches; ++b) {
    h.setRandom();  // the embeddings of the next tokens
    batch.clear();
    batch.add_layer(h);
    for (int l = 1; l <= layers; ++l) {
      run_layer(l, weight, h, next);
      batch.add_layer(next);
      std::swap(h, next);
    }
    profiler.add(batch);  // all of it, or nothing
  }

  int l = 0;
  for (const layerwise::layer_metrics& layer : profiler.profile().layers) {
    std::cout << "layer " << ++l << ": linearity " << layer.linearity->score << ", without the residual "
              << layer.residual_linearity->score << ", displacement " << layer.displacement;
    if (layer.jump_rate) std::cout << ", jump rate " << *layer.jump_rate;
    std::cout << '\n';
  }
}
