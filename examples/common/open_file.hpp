#pragma once

#include <fstream>
#include <string>

namespace examples {

/// Opens a file to be read. Throws input_error, "FILE: the text can't be read: ...", where `what` is "the text".
std::ifstream open_file(const std::string& path, const std::string& what);

}  // namespace examples
