#pragma once

#include "dumps/tensor_file.hpp"

namespace examples::dumps {

/// Whether the bytes begin as a zip archive does: .npz, and what torch.save writes.
bool is_zip(std::span<const std::byte> file);

/// Reads the arrays of a .npz file that np.savez has written, each with its name, into memory. Arrays of types that
/// hold no numbers are stepped over. Throws input_error for what torch.save writes and for compressed archives, with
/// the line of Python that converts them; and for every .npz where libzip was not found when this was built.
tensor_file parse_npz(const std::string& path, std::span<const std::byte> file);

}  // namespace examples::dumps
