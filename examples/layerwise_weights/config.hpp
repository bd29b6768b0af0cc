#pragma once

#include "gguf.hpp"
#include "model.hpp"

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace examples::layerwise_weights {

/// A .json file that comes with a model. Throws input_error for what is no JSON object, for nesting beyond any model's,
/// and for a name that comes twice.
nlohmann::json read_json(const std::string& path);

/// Of a config.json of Hugging Face: of its text_config where it has one. Throws input_error as
/// read_json(), and for numbers that no model has; what is not there stays unknown.
model_config read_config(const std::string& path);

/// Of the metadata of a GGUF file.
model_config config_of(const std::string& path, const gguf_file& file);

}  // namespace examples::layerwise_weights
