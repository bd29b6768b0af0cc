#pragma once

#include "element_format.hpp"

#include "dumps/mapped_file.hpp"

#include <layerwise/data.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace examples::layerwise_weights {

using layerwise::index;

/// A matrix of a model, in its file: read row by row, an embedding matrix itself.
struct weight {
  std::string name;
  std::string file;
  std::string_view format_name;  // as the file spells it
  const element_format* format;  // null, or one that is not read
  index rows = 0, cols = 0;      // as stored; a row lies together
  std::span<const std::byte> bytes;
};

/// What a model's configuration says of its heads. 0 and empty: not known.
struct model_config {
  std::string architecture;            // model_type of config.json, general.architecture of GGUF
  std::vector<index> heads;            // one for all layers, or one a layer
  std::vector<index> key_heads;        // and of keys and values; fewer where heads share them
  index key_size = 0, value_size = 0;  // of a head
  index feed_forward = 0;
  bool ties_embeddings = false;
};

/// The number of a layer; 0 where it isn't known, and where the numbers are many and the layer is none (-1).
index of_layer(const std::vector<index>& numbers, index layer);

struct model {
  std::string title;
  std::vector<std::string> files;
  std::vector<weight> weights;      // the tensors of two dimensions
  std::vector<std::string> others;  // names of those of more
  model_config config;
  std::string config_from;  // file, or empty
  std::vector<std::string> remarks;
  std::vector<std::shared_ptr<const dumps::mapped_file>> mappings;
};

/// Opens a .safetensors file (with the config.json beside it), a GGUF file, or a directory: config.json and the
/// .safetensors files that its index lists, or all of them, or one GGUF file. Only headers are read. Throws
/// input_error.
model open_model(const std::string& path);

}  // namespace examples::layerwise_weights

template <>
struct layerwise::embedding_traits<examples::layerwise_weights::weight> {
  using weight = examples::layerwise_weights::weight;
  static index rows(const weight& w) { return w.rows; }
  static index cols(const weight& w) { return w.cols; }
  static void read_row(const weight& w, index i, double* out) {
    const std::size_t blocks = static_cast<std::size_t>(w.cols) / w.format->block;
    w.format->decode(w.bytes.data() + static_cast<std::size_t>(i) * blocks * w.format->block_bytes, blocks, out);
  }
};
