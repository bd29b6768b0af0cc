#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace examples::layerwise_weights {

/// How a file stores the elements of a tensor: one by one, or in blocks with common scales.
struct element_format {
  std::string_view name;  // as GGUF and safetensors spell it
  std::uint32_t gguf;     // its number in GGUF
  std::size_t block;      // elements of a block; 1 where each stands for itself
  std::size_t block_bytes;
  /// Decodes `blocks` of them to block * blocks values, each the exact one; null for formats that are not read.
  void (*decode)(const std::byte* from, std::size_t blocks, double* to);

  bool is_read() const { return decode != nullptr; }
  bool is_quantized() const { return block > 1; }
};

/// All that GGUF has, those that are read first.
std::span<const element_format> element_formats();

/// Null for other numbers, or names.
const element_format* format_of_gguf(std::uint32_t number);
const element_format* format_named(std::string_view name);

/// The names of those that are read, for messages.
std::string formats_that_are_read();

}  // namespace examples::layerwise_weights
