#include "common/write_file.hpp"

#include <fmt/format.h>

#include <fstream>
#include <stdexcept>

namespace examples {

void write_file(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary);
  if (!file.write(content.data(), static_cast<std::streamsize>(content.size())) || !file.flush())
    throw std::runtime_error(fmt::format("{}: can't be written", path));
}

}  // namespace examples
