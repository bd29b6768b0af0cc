#pragma once

#include "dumps/tensor_file.hpp"

namespace examples::dumps {

/// Whether the bytes begin as a .npy file does.
bool is_npy(std::span<const std::byte> file);

/// Whether the array's elements are numbers, of any type: not text, Python objects, dates or records.
bool holds_numbers(const std::string& path, std::span<const std::byte> file);

/// Reads the header of a NumPy .npy file, format versions 1.0, 2.0 and 3.0: a Python dictionary with the
/// element type (little-endian f8, f4, f2, bfloat16 as ml_dtypes saves it, or integers, which may be a mask), the order
/// of the axes and the shape. Throws input_error.
tensor_file parse_npy(const std::string& path, std::span<const std::byte> file);

}  // namespace examples::dumps
