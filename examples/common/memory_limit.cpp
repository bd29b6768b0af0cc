#include "common/memory_limit.hpp"

#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>

#include <sys/resource.h>
#include <unistd.h>

namespace examples {
namespace {

/// The number in a file of /sys or /proc; nothing for `max`, or where there is no such file.
std::optional<double> number_in(const std::filesystem::path& path) {
  std::ifstream file(path);
  double value = 0;
  return file >> value ? std::optional(value) : std::nullopt;
}

void lower(memory_limit& limit, std::optional<double> bytes, const char* set_by) {
  if (bytes && *bytes < limit.bytes) limit = {*bytes, set_by};
}

/// Each group limits those below it.
void lower_by_groups(memory_limit& limit, const std::filesystem::path& root, std::string_view group, const char* file) {
  constexpr auto set_by = "of the container's memory";
  for (std::filesystem::path path = group;; path = path.parent_path()) {
    lower(limit, number_in(root / path.relative_path() / file), set_by);
    if (path == path.parent_path()) return;
  }
}

}  // namespace

memory_limit available_memory() {
  const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
  memory_limit limit{static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * page, "of memory"};

  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // number:controllers:path
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto controllers = std::string_view(line).substr(first + 1, second - first - 1);
    const auto path = std::string_view(line).substr(second + 1);
    if (controllers.empty())  // version 2, beside version 1 in a folder of its own
      for (const auto* root : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"})
        lower_by_groups(limit, root, path, "memory.max");
    if (controllers == "memory") lower_by_groups(limit, "/sys/fs/cgroup/memory", path, "memory.limit_in_bytes");
  }

  rlimit space{};
  if (::getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
    lower(limit, static_cast<double>(space.rlim_cur) - number_in("/proc/self/statm").value_or(0) * page,
          "of address space (ulimit -v)");
  return limit;
}

}  // namespace examples
