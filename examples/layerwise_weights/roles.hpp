#pragma once

#include <layerwise/core.hpp>

#include <string_view>

namespace examples::layerwise_weights {

/// What a matrix does in a model.
enum class role { embedding, unembedding, q, k, v, o, qkv, gate, up, gate_up, down, other };

std::string_view text_of(role what);

/// What a tensor's name says.
struct matrix_place {
  role what = role::other;
  layerwise::index layer = -1;  // -1: of none
};

/// By the names of Hugging Face (llama, qwen, mistral, gemma, phi; gpt2; gpt-neox) and of GGUF: the language model's
/// own only, not those of a tower for images beside it.
matrix_place place_of(std::string_view tensor);

}  // namespace examples::layerwise_weights
