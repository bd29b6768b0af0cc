#include "dumps/file_part.hpp"

#include "common/input_error.hpp"
#include "dumps/layer_names.hpp"
#include "dumps/selection.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace examples::dumps {
namespace {

std::filesystem::path folder_of(const tensor_file& file) { return std::filesystem::path(file.path).parent_path(); }

struct division_of_files {
  std::vector<const tensor_file*> states, beside;
};

/// Files that hold integers only are masks and token ids of the others in their folder, where their names say so.
division_of_files states_and_companions(std::span<const tensor_file> files) {
  division_of_files result;
  for (const auto& file : files) {
    const bool is_array = file.format == file_format::npy;
    const bool integers = is_array && is_integer(file.tensors.front().dtype);
    if (integers && !is_companion(stem_of(file)))
      reject(file.path,
             "expected hidden states in floating point, got {}: if it is a mask of the tokens, say --mask "
             "{}; if not, "
             "leave it out of the command line, or out of the folder",
             describe(file.tensors.front()), file.path);
    if (is_array && !integers && means_no_state(stem_of(file)))
      reject(file.path,
             "expected hidden states, got {} of that name: leave it out of the command line, or out of the "
             "folder; a mask "
             "is of integers",
             describe(file.tensors.front()));
    (integers ? result.beside : result.states).push_back(&file);
  }
  for (const auto* file : result.beside)
    if (std::ranges::none_of(result.states, [&](const auto* s) { return folder_of(*s) == folder_of(*file); }))
      reject(file->path, "expected hidden states beside it, got none");
  return result;
}

/// The companions in the folder of a file of states as its tensors, with the names of their files.
tensor_file beside_file(const tensor_file& states, const std::vector<const tensor_file*>& others) {
  tensor_file result{states.path, states.format, states.metadata, states.tensors, nullptr, {}, {}};
  for (const auto* other : others) {
    if (folder_of(*other) != folder_of(states)) continue;
    result.tensors.push_back(other->tensors.front());
    result.tensors.back().name = stem_of(*other);
  }
  return result;
}

void check_one_shape(const file_part& part) {
  const auto& first = *part.items.front();
  for (const auto* item : part.items) {
    if (item->shape != first.shape || item->dtype != first.dtype)
      reject(part.file->path,
             "expected tensors of one shape and type for the layers, got {} and {}: choose with --tensors",
             describe(first), describe(*item));
    if (item->bytes.empty()) reject(part.file->path, "expected no dimension to be 0, got {}", describe(*item));
  }
}

void check_alike(const std::vector<file_part>& parts) {
  const auto& first = parts.front();
  const auto rank_of = [](const file_part& part) { return part.items.front()->shape.size(); };
  for (const auto& part : parts)
    if (rank_of(part) != rank_of(first) || holds_one(part) != holds_one(first))
      reject(part.file->path, "expected {} as in {}, got {}", describe(*first.items.front()), first.file->path,
             describe(*part.items.front()));
}

}  // namespace

std::vector<std::string> item_names(const file_part& part) {
  std::vector<std::string> names;
  for (const auto* item : part.items) names.push_back(item->name);
  return names;
}

bool holds_one(const file_part& part) { return part.items.size() == 1; }
bool is_stack(const file_part& part) { return has(part.axes.axes, axis::layer); }

std::vector<file_part> parts_of(std::span<const tensor_file> files, const stack_options& options) {
  const auto [states, beside] = states_and_companions(files);
  std::vector<file_part> parts;
  for (const auto* file : states) {
    if (file->format != states.front()->format)
      reject(file->path, "expected the file format of {}, got another", states.front()->path);
    auto chosen = select_states(*file, options);
    file_part part{file, std::move(chosen.items), std::move(chosen.left_out), {}, {}};
    check_one_shape(part);
    part.beside = find_companions(beside_file(*file, beside), {options.mask, options.mask_file.get()});
    parts.push_back(std::move(part));
  }
  check_alike(parts);
  return parts;
}

}  // namespace examples::dumps
