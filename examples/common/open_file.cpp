#include "common/open_file.hpp"

#include "common/input_error.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace examples {

std::ifstream open_file(const std::string& path, const std::string& what) {
  if (std::filesystem::is_directory(path)) reject(path, "{} can't be read: is a directory", what);
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) reject(path, "{} can't be read: {}", what, std::strerror(errno));
  return file;
}

}  // namespace examples
