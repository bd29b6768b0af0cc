#include "dumps/input_files.hpp"

#include "common/input_error.hpp"
#include "dumps/layer_names.hpp"

#include <algorithm>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>

namespace examples::dumps {
namespace {

namespace fs = std::filesystem;

/// Names of files that are read, and of those that are refused with what to do about them: they must not be left out in
/// silence.
bool is_dump(const fs::path& path) {
  auto name = lower_case(path.filename().string());
  for (const std::string_view packed : {".gz", ".zst", ".xz", ".bz2"})
    if (name.ends_with(packed)) name.resize(name.size() - packed.size());
  constexpr std::string_view endings[] = {".safetensors", ".npy", ".npz", ".pt", ".pth", ".pkl", ".h5", ".hdf5"};
  return std::ranges::any_of(endings, [&](std::string_view end) { return name.ends_with(end); });
}

std::vector<std::string> dumps_in(const fs::path& directory) {
  std::vector<std::string> result;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error))
    if (entry->is_regular_file(error) && is_dump(entry->path())) result.push_back(entry->path().string());
  if (error) reject(directory.string(), "can't be read: {}", error.message());
  std::ranges::sort(result, natural_less);
  return result;
}

/// Those in the directory, or in the directories in it.
std::vector<std::string> dumps_below(const fs::path& directory) {
  const auto here = dumps_in(directory);
  std::vector<std::string> directories, below;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error))
    if (entry->is_directory(error)) directories.push_back(entry->path().string());
  std::ranges::sort(directories, natural_less);
  for (const auto& each : directories) {
    const auto more = dumps_in(each);
    below.insert(below.end(), more.begin(), more.end());
  }
  if (!here.empty() && !below.empty())
    reject(directory.string(),
           "expected dumps in the directory or in those in it, got both: name those that are meant");
  if (here.empty() && below.empty())
    reject(directory.string(), "expected a directory with .safetensors, .npy or .npz files, got none in it");
  return here.empty() ? below : here;
}

}  // namespace

std::vector<std::string> expand_paths(const std::vector<std::string>& paths) {
  std::vector<std::string> result;
  for (const auto& path : paths) {
    std::error_code error;
    if (fs::is_directory(path, error)) {
      const auto files = dumps_below(path);
      result.insert(result.end(), files.begin(), files.end());
    } else {
      result.push_back(path);
    }
  }
  std::set<std::string> seen;
  for (const auto& path : result) {
    std::error_code error;
    const auto whole = fs::weakly_canonical(path, error).string();
    if (!error && !seen.insert(whole).second) reject(path, "expected each file once, got it twice");
  }
  return result;
}

}  // namespace examples::dumps
