#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <vector>

/// @file
/// The language model of the experiment: a Llama-style decoder on bytes. This is the one place that describes
/// it; weights.hpp says how it lies in a file.
///
/// With L layers of width d, H heads of width e = d/H, and F hidden units in the feed-forward part; x is a
/// row of d numbers, W a matrix of [outputs][inputs], applied as x W^T, without a bias:
///
///     h_0      = E[byte]                               E: [256][d], not scaled
///     n        = norm(h_{l-1}; g_a)                    norm(x; g) = x / sqrt(mean(x^2) + 1e-5) * g
///     q, k, v  = n W_q^T, n W_k^T, n W_v^T             head i is elements i e ... i e + e - 1
///     q, k     = turned by the position t = 0, 1, ...  see below
///     a        = softmax(q k^T / sqrt(e)) v            in each head, over the positions up to t
///     m        = h_{l-1} + a W_o^T
///     n        = norm(m; g_f)
///     h_l      = m + (silu(n W_gate^T) * (n W_up^T)) W_down^T
///     logits   = norm(h_L; g) E^T                      the embedding, tied
///
/// with silu(x) = x / (1 + exp(-x)). In each head the pair (x_j, x_{j+e/2}), j < e/2, turns by the angle
/// p = t 10000^(-2 j / e) to (x_j cos p - x_{j+e/2} sin p, x_{j+e/2} cos p + x_j sin p).
///
/// h_0 ... h_L, h_L before the final norm, are the hidden states that are measured and penalized.
namespace pretraining {

struct model_shape {
  std::int64_t layers = 8;
  std::int64_t width = 96;
  std::int64_t heads = 4;     // divides the width, into an even number
  std::int64_t hidden = 256;  // of the feed-forward part

  static constexpr std::int64_t vocabulary = 256;
  static constexpr double norm_epsilon = 1e-5;
  static constexpr double rotary_base = 10000;

  bool operator==(const model_shape&) const = default;
};

struct model_output {
  at::Tensor logits;               // [batch][tokens][256]
  std::vector<at::Tensor> states;  // h_0 ... h_L: [batch][tokens][d]
};

class decoder : public torch::nn::Module {
 public:
  /// Weights are normal with deviation 0.02, those of the two matrices that write to the residual stream with
  /// 0.02 / sqrt(2 L). They come from libtorch's own generator.
  explicit decoder(const model_shape& shape);

  const model_shape& shape() const { return shape_; }

  /// ids: [batch][tokens] of int64. h_0.
  at::Tensor embed(const at::Tensor& ids) const;
  /// h_l of h_{l-1}; l is 1...L.
  at::Tensor apply_layer(std::int64_t l, const at::Tensor& before) const;
  /// Logits of h_L.
  at::Tensor read_out(const at::Tensor& last) const;

  model_output forward(const at::Tensor& ids) const;

 private:
  struct layer {
    at::Tensor attention_norm, qkv, attention_output;  // qkv: W_q, W_k and W_v, one below the other
    at::Tensor feed_norm, gate_up, down;               // gate_up: W_gate above W_up
  };

  model_shape shape_;
  at::Tensor embedding_, final_norm_;
  std::vector<layer> layers_;
};

/// Mean cross entropy, in nats, of each next byte. targets: [batch][tokens].
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets);

}  // namespace pretraining
