#pragma once

#include "model.hpp"
#include "roles.hpp"

#include <string>
#include <vector>

namespace examples::layerwise_weights {

/// A matrix that does one thing: a tensor of the file, or what a fused one holds. Outputs are its rows.
struct matrix_part {
  role what;
  layerwise::row_matrix values;
  index heads = 0;             // 0: not known, or it has none
  bool heads_are_rows = true;  // as of q, k and v; else columns, as of o
  bool unit_is_row = true;     // the vectors of the model's width are rows; else columns
  std::string remark;          // why it is not in parts, or not in heads
};

/// The parts of a layer's tensor: of fused ones (c_attn of gpt2, qkv_proj and gate_up_proj of phi3, query_key_value of
/// gpt-neox, attn_qkv of GGUF) those that the configuration lets be told apart, else the whole, with a remark. Heads are
/// there where their number and size agree with the shape.
std::vector<matrix_part> parts_of(const weight& tensor, const matrix_place& place, const model_config& config);

}  // namespace examples::layerwise_weights
