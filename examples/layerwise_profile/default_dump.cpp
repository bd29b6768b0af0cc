#include "default_dump.hpp"

#include "input_error.hpp"

#include <fmt/format.h>

#include <filesystem>

namespace layerwise_profile {

std::string default_dump() {
  namespace fs = std::filesystem;
  const fs::path built_in = LAYERWISE_PROFILE_DEFAULT_DUMP;
  std::error_code ignored;
  const auto folder = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const auto& candidate : {built_in, folder / built_in.filename(), folder / "data" / built_in.filename(),
                                folder.parent_path() / "share" / "layerwise" / built_in.filename()})
    if (fs::is_regular_file(candidate, ignored)) return candidate.string();
  reject(built_in.string(), "expected the example dump here or beside the program, got none: give a file");
}

}  // namespace layerwise_profile
