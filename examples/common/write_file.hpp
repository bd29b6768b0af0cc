#pragma once

#include <string>

namespace examples {

/// Writes a whole file, or throws std::runtime_error.
void write_file(const std::string& path, const std::string& content);

}  // namespace examples
