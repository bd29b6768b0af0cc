#pragma once

#include "gguf.hpp"
#include "model.hpp"

#include <string>

namespace examples::layerwise_weights {

/// Of a config.json of Hugging Face: of its text_config where it has one. Throws input_error for what is no JSON object,
/// and for numbers that no model has; what is not there stays unknown.
model_config read_config(const std::string& path);

/// Of the metadata of a GGUF file.
model_config config_of(const std::string& path, const gguf_file& file);

}  // namespace examples::layerwise_weights
