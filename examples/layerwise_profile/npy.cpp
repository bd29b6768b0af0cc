#include "npy.hpp"

#include "input_error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace layerwise_profile {
namespace {

constexpr std::string_view magic = "\x93NUMPY";

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Reads the one dictionary NumPy writes, and nothing else of Python: keys 'descr', 'fortran_order' and
/// 'shape', each once, in any order, with a string, True or False, and a tuple of integers.
class header_reader {
 public:
  header_reader(const std::string& path, std::string_view text, std::size_t offset)
      : path_(path), text_(text), offset_(offset) {}

  void read() {
    expect('{');
    while (!accept('}')) {
      const auto key = string();
      expect(':');
      if (key == "descr" && !descr)
        descr = string();
      else if (key == "fortran_order" && !fortran_order)
        fortran_order = boolean();
      else if (key == "shape" && !shape)
        shape = tuple();
      else
        fail("the keys descr, fortran_order and shape once each", in_quotes(key));
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (position_ != text_.size()) fail("the end of the header", next_text());
    if (!descr || !fortran_order || !shape)
      fail("the keys descr, fortran_order and shape", "not all of them");
  }

  std::optional<std::string_view> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<index>> shape;

 private:
  [[noreturn]] void fail(std::string_view expected, std::string_view got) const {
    reject(path_, "header, byte {} of the file: expected {}, got {}", offset_ + position_, expected, got);
  }

  std::string next_text() const {
    return position_ < text_.size() ? in_quotes(text_.substr(position_, 1))
                                    : std::string("the end of the header");
  }

  void skip_space() {
    while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\n')) ++position_;
  }

  bool accept(std::string_view token) {
    skip_space();
    if (text_.substr(position_, token.size()) != token) return false;
    position_ += token.size();
    return true;
  }
  bool accept(char token) { return accept(std::string_view(&token, 1)); }

  void expect(char token) {
    if (!accept(token)) fail(in_quotes(std::string_view(&token, 1)), next_text());
  }

  std::string_view string() {
    const char quote = accept('\'') ? '\'' : '"';
    if (quote == '"' && !accept('"')) fail("a string", next_text());
    const auto end = text_.find(quote, position_);
    if (end == std::string_view::npos) fail("the string's closing quote", "the end of the header");
    const auto result = text_.substr(position_, end - position_);
    position_ = end + 1;
    return result;
  }

  bool boolean() {
    if (accept("True")) return true;
    if (!accept("False")) fail("True or False", next_text());
    return false;
  }

  std::vector<index> tuple() {
    std::vector<index> result;
    expect('(');
    while (!accept(')')) {
      result.push_back(integer());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return result;
  }

  index integer() {
    skip_space();
    index value = -1;
    const auto rest = text_.substr(position_);
    const auto [end, status] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (status != std::errc{} || value < 0) fail("an integer from 0 to 2^63 - 1", next_text());
    position_ += static_cast<std::size_t>(end - rest.data());
    return value;
  }

  const std::string& path_;
  std::string_view text_;
  std::size_t offset_;  // of the text within the file, for messages
  std::size_t position_ = 0;
};

std::optional<data_type> data_type_of(std::string_view descr) {
  if (descr == "<f8") return data_type::f64;
  if (descr == "<f4") return data_type::f32;
  if (descr == "<f2") return data_type::f16;
  return std::nullopt;
}

}  // namespace

bool is_npy(std::span<const std::byte> file) { return as_text(file).substr(0, magic.size()) == magic; }

tensor_file parse_npy(const std::string& path, std::span<const std::byte> file) {
  constexpr std::size_t version_end = 8;  // magic, major, minor
  if (file.size() < version_end + 2) reject(path, "expected a .npy header, got only {} bytes", file.size());
  const auto major = std::to_integer<unsigned>(file[6]);
  const auto minor = std::to_integer<unsigned>(file[7]);
  if (major < 1 || major > 3 || minor != 0)
    reject(path, "format version (bytes 6 and 7): expected 1.0, 2.0 or 3.0, got {}.{}", major, minor);

  const std::size_t header_begin = version_end + (major == 1 ? 2 : 4);
  if (file.size() < header_begin) reject(path, "expected a .npy header, got only {} bytes", file.size());
  std::uint32_t length = 0;
  std::memcpy(&length, file.data() + version_end, header_begin - version_end);
  if (length > file.size() - header_begin)
    reject(
        path,
        "header length (byte 8): expected at most {}, the bytes that follow in the file, got {}: truncated?",
        file.size() - header_begin, length);

  header_reader header(path, as_text(file.subspan(header_begin, length)), header_begin);
  header.read();
  const auto type = data_type_of(*header.descr);
  if (!type)
    reject(path, "descr: expected '<f8', '<f4' or '<f2' (little-endian floating point), got {}",
           in_quotes(*header.descr));
  const auto needed = bytes_needed(*header.shape, size_of(*type));
  if (!needed) reject(path, "shape: expected fewer than 2^63 bytes, got {}", shape_text(*header.shape));
  const auto data = file.subspan(header_begin + length);
  if (data.size() != *needed)
    reject(path, "expected {} bytes for {} elements of {} after the header, got {}: {}", *needed,
           shape_text(*header.shape), *header.descr, data.size(),
           data.size() < *needed ? "truncated?" : "too many");

  tensor_file result{path, file_format::npy, {}, {}, nullptr};
  result.tensors.push_back({"", *type, std::move(*header.shape), *header.fortran_order, data});
  return result;
}

}  // namespace layerwise_profile
