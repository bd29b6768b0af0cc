#include "dumps/metadata.hpp"

#include "common/input_error.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace examples::dumps {
namespace {

/// The value of a metadata key on which all files that have it agree.
std::optional<std::string> agreed_metadata(std::span<const tensor_file> files, const std::string& key) {
  const tensor_file* first = nullptr;
  for (const auto& file : files) {
    if (!file.metadata.contains(key)) continue;
    if (first == nullptr) first = &file;
    if (file.metadata.at(key) != first->metadata.at(key))
      reject(file.path, "__metadata__: {}: expected {} as in {}, got {}", key, in_quotes(first->metadata.at(key)),
             first->path, in_quotes(file.metadata.at(key)));
  }
  return first == nullptr ? std::nullopt : std::optional(first->metadata.at(key));
}

[[noreturn]] void reject_metadata(std::span<const tensor_file> files, const std::string& key, std::string_view expected,
                                  std::string_view got) {
  const auto file = std::find_if(files.begin(), files.end(), [&](auto& f) { return f.metadata.contains(key); });
  reject(file->path, "__metadata__: {}: expected {}, got {}", key, expected, in_quotes(got));
}

}  // namespace

std::optional<axis_order> stated_layout(std::span<const tensor_file> files) {
  const auto text = agreed_metadata(files, "layout");
  if (!text) return std::nullopt;
  if (auto axes = parse_axes(*text)) return axes;
  reject_metadata(files, "layout",
                  "layer-major or token-major, or axes as in [layer][batch][token][dim] (or say --layout)", *text);
}

std::optional<std::string> stated_final_norm(std::span<const tensor_file> files) {
  auto text = agreed_metadata(files, "final_norm");
  if (text && *text != "before" && *text != "after")
    reject_metadata(files, "final_norm", "before or after (or say --final-norm)", *text);
  return text;
}

std::optional<index> stated_sequence_length(std::span<const tensor_file> files) {
  const auto text = agreed_metadata(files, "sequence_length");
  if (!text) return std::nullopt;
  index value = 0;
  const auto [end, status] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (status != std::errc{} || end != text->data() + text->size() || value < 1)
    reject_metadata(files, "sequence_length", "a positive integer (or say --sequence-length)", *text);
  return value;
}

}  // namespace examples::dumps
