#pragma once

#include "model.hpp"

#include <map>
#include <memory>
#include <string>

/// @file
/// The model in files.
///
/// A .safetensors file is 8 bytes with the length of the header, little-endian; the header, a JSON object
/// {name:
/// {"dtype": "F16", "shape": [rows, columns], "data_offsets": [begin, end]}}; and the values, row by row. The
/// tensors, with the matrices as [outputs][inputs]:
///
///     embedding                                     [256][d]
///     layers.0.attention.norm                       [d]
///     layers.0.attention.q, .k, .v, .output         [d][d]
///     layers.0.feed_forward.norm                    [d]
///     layers.0.feed_forward.gate, .up               [F][d]
///     layers.0.feed_forward.down                    [d][F]
///     ... to layers.L-1; layers.0 makes h_1
///     norm                                          [d]
///
/// __metadata__ has, as text, the numbers of model_shape: layers, width, heads, hidden, vocabulary,
/// norm_epsilon, rotary_base.
namespace pretraining {

/// Writes the weights in 16 bits. Throws std::runtime_error, also for a weight that is not finite in 16 bits.
void write_safetensors(const decoder& model, const std::string& path, std::map<std::string, std::string> metadata = {});

/// The weights to the last bit, with the model's shape. Throw examples::input_error or
/// std::runtime_error.
void save_checkpoint(const decoder& model, const std::string& path);
std::shared_ptr<decoder> load_checkpoint(const std::string& path);

}  // namespace pretraining
