// Dumps for the tests: files in memory and on disk whose every element is known.
#pragma once

#include "common/input_error.hpp"
#include "dumps/data_type.hpp"
#include "dumps/layer_stack.hpp"
#include "dumps/with_scalar.hpp"
#include "examples/temporary_folder.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace examples::test {

using namespace dumps;

using buffer = std::vector<std::byte>;

inline void append(buffer& to, const void* from, std::size_t size) {
  const auto* bytes = static_cast<const std::byte*>(from);
  to.insert(to.end(), bytes, bytes + size);
}

inline void append(buffer& to, const std::string& text) { append(to, text.data(), text.size()); }

/// The element every dump here has at that place; a small integer, exact in all types.
inline double value(index layer, index token, index dim) {
  return static_cast<double>((31 * layer + 7 * token * token + 3 * dim + token * dim) % 127 - 63);
}

/// size(0) x size(1) x ... elements in row-major order as bytes; at(position along each axis) gives the
/// element.
template <class At>
buffer encode(data_type type, const std::vector<index>& shape, const At& at) {
  buffer bytes;
  with_scalar(type, [&](auto scalar) {
    using Scalar = decltype(scalar);
    std::vector<index> place(shape.size(), 0);
    for (index total = 1; const auto size : shape) {
      total *= size;
      bytes.reserve(static_cast<std::size_t>(total) * sizeof(Scalar));
    }
    for (;;) {
      const auto element = static_cast<Scalar>(at(place));
      append(bytes, &element, sizeof element);
      std::size_t axis = shape.size();
      while (axis > 0 && ++place[axis - 1] == shape[axis - 1]) place[--axis] = 0;
      if (axis == 0) return;
    }
  });
  return bytes;
}

struct entry {
  std::string name;
  std::string dtype;
  std::vector<index> shape;
  buffer bytes;
};

inline std::string type_name(data_type type) { return std::string(name_of(type)); }

/// [layer][token][dim]
inline entry layer_major(data_type type, index layers, index tokens, index dims, index first_token = 0,
                         const std::string& name = "hidden_states") {
  return {name, type_name(type), {layers, tokens, dims}, encode(type, {layers, tokens, dims}, [&](auto& at) {
            return value(at[0], first_token + at[1], at[2]);
          })};
}

/// [token][layer][dim]
inline entry token_major(data_type type, index layers, index tokens, index dims) {
  return {"hidden_states", type_name(type), {tokens, layers, dims}, encode(type, {tokens, layers, dims}, [](auto& at) {
            return value(at[1], at[0], at[2]);
          })};
}

/// The token x dim matrix of one layer.
inline entry matrix(data_type type, index layer, index tokens, index dims, const std::string& name,
                    index first_token = 0) {
  return {name, type_name(type), {tokens, dims}, encode(type, {tokens, dims}, [&](auto& at) {
            return value(layer, first_token + at[0], at[1]);
          })};
}

/// A .safetensors file with this header, its length put before it.
inline buffer safetensors(const std::string& header, std::span<const std::byte> data) {
  buffer file;
  const std::uint64_t length = header.size();
  append(file, &length, sizeof length);
  append(file, header);
  append(file, data.data(), data.size());
  return file;
}

/// `alignment`: the header is padded so that the tensors begin at a multiple of it, plus `offset`.
inline buffer safetensors(const std::vector<entry>& entries, const std::map<std::string, std::string>& metadata = {},
                          std::size_t alignment = 8, std::size_t offset = 0) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  buffer data;
  for (const auto& item : entries) {
    header[item.name] = {
        {"dtype", item.dtype}, {"shape", item.shape}, {"data_offsets", {data.size(), data.size() + item.bytes.size()}}};
    append(data, item.bytes.data(), item.bytes.size());
  }
  auto text = header.dump();
  while ((8 + text.size()) % alignment != offset) text += ' ';
  return safetensors(text, data);
}

inline buffer npy(const std::string& header, std::span<const std::byte> data, int major = 1) {
  buffer file;
  append(file, std::string("\x93NUMPY"));
  file.push_back(static_cast<std::byte>(major));
  file.push_back(std::byte{0});
  const auto length = static_cast<std::uint32_t>(header.size());
  append(file, &length, major == 1 ? 2 : 4);
  append(file, header);
  append(file, data.data(), data.size());
  return file;
}

inline buffer npy(const std::string& descr, bool fortran_order, const std::vector<index>& shape,
                  std::span<const std::byte> data, int major = 1) {
  std::string header =
      "{'descr': '" + descr + "', 'fortran_order': " + (fortran_order ? "True" : "False") + ", 'shape': (";
  for (const auto size : shape) header += std::to_string(size) + ", ";
  header += "), }";
  while ((header.size() + 11) % 64 != 0) header += ' ';
  return npy(header + "\n", data, major);
}

inline std::string descr_of(data_type type) {
  return type == data_type::f64 ? "<f8" : type == data_type::f32 ? "<f4" : "<f2";
}

inline buffer npy(const entry& item, data_type type, int major = 1) {
  return npy(descr_of(type), false, item.shape, item.bytes, major);
}

/// The checksum of the zip format.
inline std::uint32_t crc32(std::span<const std::byte> bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const auto byte : bytes) {
    crc ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

/// A zip archive of those members, uncompressed, as np.savez writes it; with another `method` it only says so.
inline buffer zip(const std::vector<std::pair<std::string, buffer>>& members, std::uint16_t method = 0) {
  buffer file, directory;
  const auto number = [](buffer& to, std::uint64_t value, std::size_t size) { append(to, &value, size); };
  for (const auto& [name, bytes] : members) {
    const auto offset = file.size();
    const auto common = [&](buffer& to) {
      number(to, method, 2), number(to, 0, 4);  // no date
      number(to, crc32(bytes), 4), number(to, bytes.size(), 4), number(to, bytes.size(), 4), number(to, name.size(), 2);
    };
    append(file, std::string("PK\x03\x04")), number(file, 20, 2), number(file, 0, 2), common(file), number(file, 0, 2);
    append(file, name), append(file, bytes.data(), bytes.size());
    append(directory, std::string("PK\x01\x02")), number(directory, 20, 2), number(directory, 20, 2),
        number(directory, 0, 2);
    common(directory), number(directory, 0, 2 + 2 + 2 + 2 + 4), number(directory, offset, 4), append(directory, name);
  }
  const auto begin = file.size();
  append(file, directory.data(), directory.size());
  append(file, std::string("PK\x05\x06")), number(file, 0, 4), number(file, members.size(), 2),
      number(file, members.size(), 2);
  number(file, directory.size(), 4), number(file, begin, 4), number(file, 0, 2);
  return file;
}

/// What the input_error that `action` throws says; empty when it throws none.
template <class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const input_error& error) {
    return error.what();
  }
  return {};
}

}  // namespace examples::test
