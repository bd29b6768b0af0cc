#pragma once

#include "dumps/tensor_file.hpp"

#include <string_view>

namespace examples::dumps {

/// Reads the header of a .safetensors file: 8 bytes with the header's length, the header as a JSON object,
/// the tensors' bytes. As strict as the format's own description: names are unique, the tensors cover the
/// bytes after the header without gap or overlap, each is as long as its shape and type say. Throws
/// input_error; `expected` is what it says of a file that is none: all that its caller reads.
tensor_file parse_safetensors(const std::string& path, std::span<const std::byte> file,
                              std::string_view expected = "a .safetensors, .npy or .npz file");

}  // namespace examples::dumps
