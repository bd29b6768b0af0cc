#include "dumps/safetensors.hpp"

#include "common/input_error.hpp"
#include "dumps/strict_json.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

namespace examples::dumps {
namespace {

using nlohmann::json;

constexpr std::size_t length_bytes = 8;
constexpr std::uint64_t longest_header = 100'000'000;  // the format's own limit
constexpr int deepest_header = 3;                      // {name: {"shape": [1]}}

/// The header's text, its length checked against the limit and the file.
std::string_view header_text(const std::string& path, std::span<const std::byte> file, std::string_view expected) {
  if (file.size() < length_bytes) reject(path, "expected {}, got only {} bytes", expected, file.size());
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), length_bytes);
  if (length > longest_header)
    reject(path, "expected {}: the header length of .safetensors (bytes 0 to 7) is at most {}, got {}", expected,
           longest_header, length);
  if (length > file.size() - length_bytes)
    reject(path,
           "header length (bytes 0 to 7): expected at most {}, the bytes that follow in the file, got {}: "
           "truncated?",
           file.size() - length_bytes, length);
  return {reinterpret_cast<const char*>(file.data() + length_bytes), static_cast<std::size_t>(length)};
}

/// The member `key` of a tensor's entry.
const json& member(const std::string& path, const std::string& name, const json& entry, const char* key) {
  const auto found = entry.is_object() ? entry.find(key) : entry.end();
  if (!entry.is_object() || found == entry.end())
    reject(path, "tensor {}: expected an object with dtype, shape and data_offsets, got no {}", in_quotes(name), key);
  return *found;
}

/// A list of integers in [0, largest index].
std::vector<index> list_of_sizes(const std::string& path, const std::string& name, const json& list, const char* key) {
  const auto fail = [&](std::string_view got) {
    reject(path, "tensor {}: {}: expected a list of integers from 0 to 2^63 - 1, got {}", in_quotes(name), key, got);
  };
  if (!list.is_array()) fail(list.type_name());
  std::vector<index> result;
  for (const auto& item : list) {
    if (!item.is_number_unsigned()) fail(item.is_number() ? item.dump() : item.type_name());
    const auto value = item.get<std::uint64_t>();
    if (value > static_cast<std::uint64_t>(std::numeric_limits<index>::max())) fail(item.dump());
    result.push_back(static_cast<index>(value));
  }
  return result;
}

tensor read_entry(const std::string& path, const std::string& name, const json& entry,
                  std::span<const std::byte> data) {
  const auto fail = [&](std::string_view message) { reject(path, "tensor {}: {}", in_quotes(name), message); };

  const auto& type_name = member(path, name, entry, "dtype");
  if (!type_name.is_string()) fail(fmt::format("dtype: expected a string, got {}", type_name.type_name()));
  const auto type = data_type_named(type_name.get_ref<const std::string&>());
  auto shape = list_of_sizes(path, name, member(path, name, entry, "shape"), "shape");
  const auto needed = bytes_needed(shape, bits_of(type));
  if (!needed) fail(fmt::format("shape: expected fewer than 2^63 bytes, got {}", shape_text(shape)));

  const auto offsets = list_of_sizes(path, name, member(path, name, entry, "data_offsets"), "data_offsets");
  if (offsets.size() != 2) fail(fmt::format("data_offsets: expected [begin, end], got {} numbers", offsets.size()));
  const auto begin = static_cast<std::size_t>(offsets[0]);
  const auto end = static_cast<std::size_t>(offsets[1]);
  if (begin > end) fail(fmt::format("data_offsets: expected begin <= end, got [{}, {}]", begin, end));
  if (end > data.size())
    fail(fmt::format("data_offsets: expected an end within the {} bytes after the header, got {}: truncated?",
                     data.size(), end));
  if (type != data_type::unknown && end - begin != *needed)
    fail(fmt::format("data_offsets: expected {} bytes for {} elements of {}, got {}", *needed, shape_text(shape),
                     name_of(type), end - begin));

  return {name, type, std::move(shape), false, data.subspan(begin, end - begin)};
}

std::map<std::string, std::string> read_metadata(const std::string& path, const json& entry) {
  if (!entry.is_object()) reject(path, "__metadata__: expected an object, got {}", entry.type_name());
  std::map<std::string, std::string> result;
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string())
      reject(path, "__metadata__: {}: expected a string, got {}", in_quotes(key), value.type_name());
    result.emplace(key, value.get<std::string>());
  }
  return result;
}

/// The tensors, taken in the order of their bytes, cover the data without gap or overlap.
void check_coverage(const std::string& path, std::span<const tensor> tensors, std::span<const std::byte> data) {
  std::vector<const tensor*> in_order;
  for (const auto& item : tensors) in_order.push_back(&item);
  const auto begin_of = [&](const tensor& item) { return item.bytes.data() - data.data(); };
  std::sort(in_order.begin(), in_order.end(), [&](const tensor* a, const tensor* b) {
    return std::pair(begin_of(*a), a->bytes.size()) < std::pair(begin_of(*b), b->bytes.size());
  });

  index covered = 0;
  for (const auto* item : in_order) {
    if (begin_of(*item) != covered)
      reject(path, "tensor {}: data_offsets: expected to begin at {}, where the tensor before it ends, got {}: {}",
             in_quotes(item->name), covered, begin_of(*item),
             begin_of(*item) < covered ? "they overlap" : "bytes in between");
    covered += std::ssize(item->bytes);
  }
  if (covered != std::ssize(data))
    reject(path, "expected {} bytes of tensors after the header, got {}", covered, data.size());
}

}  // namespace

tensor_file parse_safetensors(const std::string& path, std::span<const std::byte> file, std::string_view expected) {
  const auto text = header_text(path, file, expected);
  const auto data = file.subspan(length_bytes + text.size());
  const auto header = parse_strictly(path, text, deepest_header, {"header: ", length_bytes});

  tensor_file result{path, file_format::safetensors, {}, {}, nullptr, {}, {}};
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__")
      result.metadata = read_metadata(path, entry);
    else
      result.tensors.push_back(read_entry(path, name, entry, data));
  }
  check_coverage(path, result.tensors, data);
  std::ranges::stable_sort(result.tensors, {}, [](const tensor& item) { return item.bytes.data(); });
  return result;
}

}  // namespace examples::dumps
