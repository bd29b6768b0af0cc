#pragma once

#include <Eigen/Core>

#include <string>
#include <string_view>
#include <vector>

/// @file
/// A Llama-style decoder on bytes in plain Eigen: what an inference engine does, without its tricks. The
/// architecture, and how the weights lie in a file, are described in
/// examples/pretraining/{model,weights}.hpp, whose program has trained them.
namespace live_model {

using index = Eigen::Index;
/// One row per token.
using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

class decoder {
 public:
  /// Reads a .safetensors file of F16 weights. Throws examples::input_error.
  explicit decoder(const std::string& path);

  index layers() const { return static_cast<index>(layers_.size()); }
  index width() const { return embedding_.cols(); }

  /// Writes h_0 ... h_L of a text, whose first byte has position 0, to the rows of `states` from first_row
  /// on. They are layers() + 1 matrices of width() columns.
  void run(std::string_view text, std::vector<matrix>& states, index first_row = 0) const;

  /// tokens x 256: what is expected to follow each token.
  matrix logits(const Eigen::Ref<const matrix>& last_state) const;

 private:
  struct layer {
    Eigen::RowVectorXf attention_norm, feed_norm;
    matrix q, k, v, attention_output, gate, up, down;  // [outputs][inputs]
  };

  matrix attention(const layer& weights, const matrix& normalized) const;

  index heads_ = 0;
  float rotary_base_ = 0, norm_epsilon_ = 0;
  matrix embedding_;
  Eigen::RowVectorXf final_norm_;
  std::vector<layer> layers_;
};

/// The cross entropy, in nats, of the bytes of `text` after the first, by the logits of all but the last: the
/// sum of -log softmax(logits)_next.
double cross_entropy(const matrix& logits, std::string_view text);

}  // namespace live_model
