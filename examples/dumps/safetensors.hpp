#pragma once

#include "dumps/tensor_file.hpp"

namespace examples::dumps {

/// Reads the header of a .safetensors file: 8 bytes with the header's length, the header as a JSON object,
/// the tensors' bytes. As strict as the format's own description: names are unique, the tensors cover the
/// bytes after the header without gap or overlap, each is as long as its shape and type say. Throws
/// input_error.
tensor_file parse_safetensors(const std::string& path, std::span<const std::byte> file);

}  // namespace examples::dumps
