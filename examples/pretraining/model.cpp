#include "model.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace pretraining {
namespace {

at::Tensor normalize(const at::Tensor& x, const at::Tensor& gain) {
  return x * (x.square().mean(-1, true) + model_shape::norm_epsilon).rsqrt() * gain;
}

/// What turns the pairs of a head: cosines, and sines with the sign of the other element. [tokens][e] each.
struct rotation {
  at::Tensor cosines, sines;

  rotation(std::int64_t tokens, std::int64_t head_width) {
    const auto positions = at::arange(tokens, at::kDouble).unsqueeze(1);
    const auto exponents = at::arange(0, head_width, 2, at::kDouble) / static_cast<double>(head_width);
    const auto angles = positions * at::pow(model_shape::rotary_base, -exponents).unsqueeze(0);
    cosines = at::cat({angles.cos(), angles.cos()}, 1).to(at::kFloat);
    sines = at::cat({-angles.sin(), angles.sin()}, 1).to(at::kFloat);
  }

  at::Tensor turn(const at::Tensor& x) const { return x * cosines + x.roll(x.size(-1) / 2, -1) * sines; }
};

}  // namespace

decoder::decoder(const model_shape& shape) : shape_(shape) {
  if (shape.layers < 1 || shape.width < 1 || shape.heads < 1 || shape.hidden < 1 ||
      shape.width % (2 * shape.heads) != 0)
    throw std::invalid_argument(
        fmt::format("expected layers, hidden >= 1 and a width that twice the number of heads divides, got {} layers "
                    "of width {} with {} heads and {} hidden units",
                    shape.layers, shape.width, shape.heads, shape.hidden));
  const double deviation = 0.02, writing = deviation / std::sqrt(2 * static_cast<double>(shape.layers));
  const auto matrix = [&](const std::string& name, std::int64_t outputs, std::int64_t inputs, double spread) {
    return register_parameter(name, at::randn({outputs, inputs}) * spread);
  };
  const auto gain = [&](const std::string& name) { return register_parameter(name, at::ones({shape.width})); };
  embedding_ = matrix("embedding", model_shape::vocabulary, shape.width, deviation);
  for (std::int64_t l = 0; l < shape.layers; ++l) {
    const auto name = [l](const char* part) { return fmt::format("layers_{}_{}", l, part); };
    layer& parts = layers_.emplace_back();
    parts.attention_norm = gain(name("attention_norm"));
    parts.qkv = matrix(name("attention_qkv"), 3 * shape.width, shape.width, deviation);
    parts.attention_output = matrix(name("attention_output"), shape.width, shape.width, writing);
    parts.feed_norm = gain(name("feed_norm"));
    parts.gate_up = matrix(name("feed_gate_up"), 2 * shape.hidden, shape.width, deviation);
    parts.down = matrix(name("feed_down"), shape.width, shape.hidden, writing);
  }
  final_norm_ = gain("final_norm");
}

at::Tensor decoder::embed(const at::Tensor& ids) const { return at::embedding(embedding_, ids); }

at::Tensor decoder::apply_layer(std::int64_t l, const at::Tensor& before) const {
  const layer& parts = layers_.at(static_cast<std::size_t>(l - 1));
  const std::int64_t batch = before.size(0), tokens = before.size(1), head_width = shape_.width / shape_.heads;
  const rotation positions(tokens, head_width);

  const auto qkv = at::linear(normalize(before, parts.attention_norm), parts.qkv)
                       .view({batch, tokens, 3, shape_.heads, head_width})
                       .permute({2, 0, 3, 1, 4});  // [3][batch][head][token][e]
  const auto q = positions.turn(qkv[0]) / std::sqrt(static_cast<double>(head_width));
  const auto future = at::full({tokens, tokens}, -std::numeric_limits<float>::infinity()).triu(1);
  const auto shares = (at::matmul(q, positions.turn(qkv[1]).transpose(-1, -2)) + future).softmax(-1);
  const auto heads = at::matmul(shares, qkv[2]).transpose(1, 2).reshape({batch, tokens, shape_.width});
  const auto middle = before + at::linear(heads, parts.attention_output);

  const auto gate_up = at::linear(normalize(middle, parts.feed_norm), parts.gate_up).chunk(2, -1);
  return middle + at::linear(at::silu(gate_up[0]) * gate_up[1], parts.down);
}

at::Tensor decoder::read_out(const at::Tensor& last) const {
  return at::linear(normalize(last, final_norm_), embedding_);
}

model_output decoder::forward(const at::Tensor& ids) const {
  model_output out;
  out.states.push_back(embed(ids));
  for (std::int64_t l = 1; l <= shape_.layers; ++l) out.states.push_back(apply_layer(l, out.states.back()));
  out.logits = read_out(out.states.back());
  return out;
}

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets) {
  return at::cross_entropy_loss(logits.flatten(0, -2), targets.flatten());
}

}  // namespace pretraining
