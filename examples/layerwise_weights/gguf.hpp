#pragma once

#include "element_format.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace examples::layerwise_weights {

/// A value of a GGUF file's metadata: numbers and texts, and lists of integers. Other lists, such as vocabularies, are
/// stepped over.
using gguf_value = std::variant<std::int64_t, double, bool, std::string, std::vector<std::int64_t>>;

/// One tensor, its bytes checked against the file. The first dimension runs fastest: that of a row.
struct gguf_tensor {
  std::string name;
  const element_format* format;
  std::vector<std::int64_t> dimensions;
  std::span<const std::byte> bytes;
};

struct gguf_file {
  std::map<std::string, gguf_value> metadata;
  std::vector<gguf_tensor> tensors;
};

bool is_gguf(std::span<const std::byte> file);

/// Reads the header of a GGUF file, version 2 or 3, little endian: metadata and the table of tensors, whose bytes stay
/// where they are. Every count, length and offset is checked against the file before it is used; a name or key that
/// comes twice, a format that GGUF does not have, and a length that is no multiple of the format's block are refused. Throws
/// input_error.
gguf_file parse_gguf(const std::string& path, std::span<const std::byte> file);

}  // namespace examples::layerwise_weights
