#pragma once

#include <string>

namespace examples {

/// Why a file can't be written, as far as can be told without writing it: that its folder is not there, or belongs to
/// others. Empty where it can. For programs that work long before they write.
std::string why_not_writable(const std::string& path);

/// Writes a whole file, or throws std::runtime_error.
void write_file(const std::string& path, const std::string& content);

}  // namespace examples
