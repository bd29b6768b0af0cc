#include "common/write_file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include <unistd.h>

namespace examples {

std::string why_not_writable(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (path.empty()) return "expected the name of a file, got none";
  if (path.back() == '/' || fs::is_directory(path, error))
    return fmt::format("{}: can't be written: it is a folder", path);
  const bool exists = fs::exists(path, error);
  const auto folder = fs::path(path).parent_path().string();
  const auto status =
      exists ? ::access(path.c_str(), W_OK) : ::access(folder.empty() ? "." : folder.c_str(), W_OK | X_OK);
  return status == 0 ? "" : fmt::format("{}: can't be written: {}", path, std::strerror(errno));
}

void write_file(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary);
  if (!file.write(content.data(), static_cast<std::streamsize>(content.size())) || !file.flush())
    throw std::runtime_error(fmt::format("{}: can't be written", path));
}

}  // namespace examples
