// GGUF files for the tests, in memory.
#pragma once

#include "examples/dump_files.hpp"
#include "layerwise_weights/gguf.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace examples::test {

template <class T>
void put(buffer& to, T value) {
  append(to, &value, sizeof value);
}

inline void put_text(buffer& to, const std::string& text) {
  put(to, std::uint64_t{text.size()});
  append(to, text);
}

/// A metadata entry with a value of that type.
template <class T>
buffer gguf_entry(const std::string& key, std::uint32_t type, T value) {
  buffer out;
  put_text(out, key);
  put(out, type);
  put(out, value);
  return out;
}

inline buffer gguf_text(const std::string& key, const std::string& value) {
  buffer out;
  put_text(out, key);
  put(out, std::uint32_t{8});
  put_text(out, value);
  return out;
}

/// A list: of integers (type 4), of texts (type 8).
inline buffer gguf_list(const std::string& key, const std::vector<std::uint32_t>& numbers) {
  buffer out;
  put_text(out, key);
  put(out, std::uint32_t{9});
  put(out, std::uint32_t{4});
  put(out, std::uint64_t{numbers.size()});
  for (const auto number : numbers) put(out, number);
  return out;
}

inline buffer gguf_list(const std::string& key, const std::vector<std::string>& texts) {
  buffer out;
  put_text(out, key);
  put(out, std::uint32_t{9});
  put(out, std::uint32_t{8});
  put(out, std::uint64_t{texts.size()});
  for (const auto& text : texts) put_text(out, text);
  return out;
}

struct gguf_item {
  std::string name;
  std::uint32_t format;
  std::vector<std::uint64_t> dimensions;  // that of a row first
  buffer bytes;
};

/// Where a test spoils the file.
struct gguf_faults {
  std::uint32_t version = 3;
  std::uint64_t more_tensors = 0, more_entries = 0, more_offset = 0;
};

inline buffer gguf(const std::vector<buffer>& metadata, const std::vector<gguf_item>& items,
                   const gguf_faults& faults = {}) {
  constexpr std::size_t alignment = 32;
  const auto padded = [](std::size_t size) { return (size + alignment - 1) / alignment * alignment; };
  buffer file;
  append(file, std::string("GGUF"));
  put(file, faults.version);
  put(file, items.size() + faults.more_tensors);
  put(file, metadata.size() + faults.more_entries);
  for (const auto& entry : metadata) append(file, entry.data(), entry.size());
  std::uint64_t offset = faults.more_offset;
  for (const auto& item : items) {
    put_text(file, item.name);
    put(file, static_cast<std::uint32_t>(item.dimensions.size()));
    for (const auto size : item.dimensions) put(file, size);
    put(file, item.format);
    put(file, offset);
    offset += padded(item.bytes.size());
  }
  for (const auto& item : items) {
    file.resize(padded(file.size()));
    append(file, item.bytes.data(), item.bytes.size());
  }
  return file;
}

/// A matrix of float32 whose elements at(row, column) gives.
template <class At>
gguf_item gguf_matrix(const std::string& name, index rows, index cols, const At& at) {
  return {name,
          0,
          {static_cast<std::uint64_t>(cols), static_cast<std::uint64_t>(rows)},
          encode(data_type::f32, {rows, cols}, [&](const auto& place) { return at(place[0], place[1]); })};
}

}  // namespace examples::test
