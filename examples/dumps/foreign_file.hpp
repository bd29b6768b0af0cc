#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace examples::dumps {

/// Throws an input_error for the first bytes of another program's file, which names it and says what makes it
/// readable: PyTorch's older format, GGUF, HDF5, compressed files.
void reject_foreign(const std::string& path, std::span<const std::byte> file);

/// What to type in Python to make a readable file of one that torch.save has written.
std::string torch_remedy(const std::string& path);

}  // namespace examples::dumps
