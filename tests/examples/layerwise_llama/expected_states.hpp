// The tiny models' states as transformers computes them, which make_models.py has written.
#pragma once

#include "dumps/layer_stack.hpp"
#include "dumps/tensor_file.hpp"

#include <cstddef>
#include <string>

namespace examples::test {

inline const std::string tiny_models = TINY_MODELS;

inline dumps::layer_stack expected_states(const std::string& model) {
  return dumps::stack_layers({dumps::open_tensor_file(tiny_models + "/models/" + model + ".safetensors")});
}

/// Rows of one state, one after the other.
inline const float* rows_of(const dumps::layer_stack& stack, dumps::index state) {
  return reinterpret_cast<const float*>(stack.shards.front().states[static_cast<std::size_t>(state)].data);
}

}  // namespace examples::test
