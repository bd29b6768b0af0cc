#include "model.hpp"

#include "config.hpp"
#include "gguf.hpp"

#include "common/input_error.hpp"
#include "dumps/safetensors.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <system_error>
#include <utility>

namespace examples::layerwise_weights {
namespace {

namespace fs = std::filesystem;

constexpr auto what_is_read = "a .safetensors file, a .gguf file or a directory with such files";

/// Gives back the names of the tensors, of any number of dimensions.
std::set<std::string> add_safetensors(model& to, const std::string& path) {
  auto mapping = std::make_shared<const dumps::mapped_file>(path);
  const auto file = dumps::parse_safetensors(path, mapping->bytes(), what_is_read);
  std::set<std::string> names;
  for (const auto& tensor : file.tensors) {
    names.insert(tensor.name);
    if (tensor.shape.size() > 2) to.others.push_back(tensor.name);
    if (tensor.shape.size() != 2) continue;
    const auto name = dumps::name_of(tensor.dtype);
    to.weights.push_back({tensor.name, path, name, format_named(name), tensor.shape[0], tensor.shape[1], tensor.bytes});
  }
  to.files.push_back(path);
  to.mappings.push_back(std::move(mapping));
  return names;
}

void add_gguf(model& to, const std::string& path, std::shared_ptr<const dumps::mapped_file> mapping) {
  const auto file = parse_gguf(path, mapping->bytes());
  for (const auto& tensor : file.tensors) {
    if (tensor.dimensions.size() > 2) to.others.push_back(tensor.name);
    if (tensor.dimensions.size() != 2) continue;
    to.weights.push_back({tensor.name, path, tensor.format->name, tensor.format, tensor.dimensions[1],
                          tensor.dimensions[0], tensor.bytes});
  }
  to.config = config_of(path, file);
  if (!to.config.architecture.empty()) to.config_from = path;
  if (const auto name = file.metadata.find("general.name"); name != file.metadata.end())
    if (const auto* text = std::get_if<std::string>(&name->second)) to.title = *text;
  if (const auto parts = file.metadata.find("split.count"); parts != file.metadata.end())
    if (const auto* count = std::get_if<std::int64_t>(&parts->second); count != nullptr && *count > 1)
      to.remarks.push_back(fmt::format(
          "this is one of {} files: what is in the others is not measured (llama-gguf-split --merge)", *count));
  to.files.push_back(path);
  to.mappings.push_back(std::move(mapping));
}

/// Whether it names a file in a folder: no path to elsewhere, and nothing that the system would cut.
bool is_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find_first_of(std::string("/\0", 2)) == std::string::npos;
}

/// What an index says: of each tensor the name of its file, which lies beside it.
std::map<std::string, std::string> read_index(const std::string& path) {
  const auto parsed = read_json(path);
  const auto map = parsed.find("weight_map");
  if (map == parsed.end() || !map->is_object()) reject(path, "expected a weight_map, an object, got none");
  std::map<std::string, std::string> result;
  for (const auto& [tensor, name] : map->items()) {
    if (!name.is_string() || !is_file_name(name.get_ref<const std::string&>()))
      reject(path, "weight_map: {}: expected the name of a file beside it, got {}", in_quotes(tensor),
             in_quotes(name.dump()));
    result.emplace(tensor, name.get_ref<const std::string&>());
  }
  return result;
}

/// The files that an index lists, each once, which together have the tensors that it lists.
void add_files_of_index(model& to, const fs::path& index) {
  const auto listed = read_index(index.string());
  std::set<std::string> files, found;
  for (const auto& [tensor, file] : listed) files.insert(file);
  for (const auto& file : files) found.merge(add_safetensors(to, (index.parent_path() / file).string()));
  for (const auto& [tensor, file] : listed)
    if (!found.contains(tensor))
      reject(index.string(), "weight_map: {}: expected a tensor of this name in {}, got none in any of the {} files",
             in_quotes(tensor), in_quotes(file), files.size());
}

/// The files in a directory with that ending, by name.
std::vector<std::string> files_in(const fs::path& directory, std::string_view ending) {
  std::vector<std::string> result;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error))
    if (entry->path().extension() == ending) result.push_back(entry->path().string());
  if (error) reject(directory.string(), "can't be read: {}", error.message());
  std::ranges::sort(result);
  return result;
}

void add_config(model& to, const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return;
  to.config = read_config(path.string());
  to.config_from = path.string();
}

void add_directory(model& to, const fs::path& directory) {
  std::error_code error;
  const auto index = directory / "model.safetensors.index.json";
  const bool has_index = fs::exists(index, error);
  const auto files = has_index ? std::vector<std::string>{} : files_in(directory, ".safetensors");
  if (has_index || !files.empty()) {
    add_config(to, directory / "config.json");
    if (has_index) add_files_of_index(to, index);
    for (const auto& path : files) add_safetensors(to, path);
    return;
  }
  const auto gguf = files_in(directory, ".gguf");
  if (gguf.size() != 1)
    reject(directory.string(), "expected a directory with .safetensors files, or with one .gguf file, got {}",
           gguf.empty() ? "none in it" : fmt::format("{} .gguf files: name the one that is meant", gguf.size()));
  add_gguf(to, gguf.front(), std::make_shared<const dumps::mapped_file>(gguf.front()));
}

}  // namespace

index of_layer(const std::vector<index>& numbers, index layer) {
  if (numbers.size() == 1) return numbers.front();
  return layer >= 0 && layer < std::ssize(numbers) ? numbers[static_cast<std::size_t>(layer)] : 0;
}

model open_model(const std::string& path) {
  model result;
  std::error_code error;
  const auto whole = fs::weakly_canonical(path, error);
  result.title = (error ? fs::path(path) : whole).filename().string();
  if (fs::is_directory(path, error)) {
    add_directory(result, path);
  } else if (auto mapping = std::make_shared<const dumps::mapped_file>(path); is_gguf(mapping->bytes())) {
    add_gguf(result, path, std::move(mapping));
  } else {
    add_safetensors(result, path);
    add_config(result, fs::path(path).parent_path() / "config.json");
  }
  std::set<std::string> names;
  for (const auto& weight : result.weights)
    if (!names.insert(weight.name).second)
      reject(weight.file, "expected each tensor in one file, got {} in another one, too", in_quotes(weight.name));
  if (result.weights.empty()) reject(path, "expected a model with matrices, got no tensor of two dimensions");
  return result;
}

}  // namespace examples::layerwise_weights
