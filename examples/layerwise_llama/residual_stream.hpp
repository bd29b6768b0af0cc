#pragma once

#include "model.hpp"

#include <ggml.h>

#include <cstddef>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace examples::layerwise_llama {

/// Which nodes of a model's graph are h_0 ... h_L, by name: "embd", "l_out-0", "l_out-1" ...
struct residual_stream {
  std::vector<std::string> nodes;
  index dimensions;

  index layers() const { return std::ssize(nodes) - 1; }
};

/// Whether a node is a matrix of `rows` tokens: rank 2, F32, and as wide as said.
bool is_state(const ggml_tensor& node, index dimensions, index rows);

/// Looks at the nodes of one micro-batch in the order in which they are computed, and tells which are the stream.
///
/// h_l is l_out-(l - 1). h_0 is what the first norm of block 0 is given, if the sums from l_out-0 back to the block's
/// beginning lead to it: BLOOM's first norm of that name is one of its embeddings. Nothing of block 0 is multiplied
/// before that. A graph in which these can't be told is refused by the architecture's name, with what was seen.
class graph_scout {
 public:
  void see(const ggml_tensor& node);
  residual_stream stream(const language_model& model, index rows) const;

 private:
  struct seen_node {
    const ggml_tensor* address;
    std::string name;
    ggml_tensor copy;  // of type, shape, operation and operands
  };

  std::vector<const seen_node*> outputs_of_blocks(const language_model& model) const;
  const seen_node* find(const ggml_tensor* address) const;
  const seen_node* earlier_operand(const seen_node& sum) const;
  const seen_node* input_of_first_block(const seen_node& output) const;
  void require_first(const seen_node& input, const language_model& model) const;

  std::vector<seen_node> nodes_;
  std::unordered_map<const ggml_tensor*, std::size_t> places_;
};

}  // namespace examples::layerwise_llama
