#include "dumps/npy.hpp"

#include "common/input_error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

namespace examples::dumps {
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
    if (!descr || !fortran_order || !shape) fail("the keys descr, fortran_order and shape", "not all of them");
  }

  std::optional<std::string_view> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<index>> shape;

 private:
  [[noreturn]] void fail(std::string_view expected, std::string_view got) const {
    reject(path_, "header, byte {} of the file: expected {}, got {}", offset_ + position_, expected, got);
  }

  std::string next_text() const {
    return position_ < text_.size() ? in_quotes(text_.substr(position_, 1)) : std::string("the end of the header");
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
    if (position_ < text_.size() && text_[position_] == 'L') ++position_;  // Python 2's long
    return value;
  }

  const std::string& path_;
  std::string_view text_;
  std::size_t offset_;  // of the text within the file, for messages
  std::size_t position_ = 0;
};

/// NumPy's codes of little-endian types, and of bytes. ml_dtypes' bfloat16 has none: np.save writes the 2 bytes as void.
std::optional<data_type> data_type_of(std::string_view descr) {
  constexpr std::pair<std::string_view, data_type> types[] = {
      {"<f8", data_type::f64},  {"<f4", data_type::f32},    {"<f2", data_type::f16}, {"|V2", data_type::bf16},
      {"<V2", data_type::bf16}, {"<i8", data_type::i64},    {"<i4", data_type::i32}, {"<i2", data_type::i16},
      {"|i1", data_type::i8},   {"<u8", data_type::u64},    {"<u4", data_type::u32}, {"<u2", data_type::u16},
      {"|u1", data_type::u8},   {"|b1", data_type::boolean}};
  for (const auto& [code, type] : types)
    if (code == descr) return type;
  return std::nullopt;
}

[[noreturn]] void reject_type(const std::string& path, std::string_view descr) {
  const char kind = descr.size() > 1 ? descr[1] : '\0';
  std::string_view remedy = "convert it, in Python: np.save(\"new.npy\", a.astype(\"<f4\"))";
  if (descr.starts_with(">"))
    remedy = "it is big-endian; in Python: np.save(\"new.npy\", a.astype(a.dtype.newbyteorder(\"<\")))";
  else if (kind == 'O')
    remedy = "it holds Python objects, arrays of different shapes, for one; in Python: np.savez(\"new.npz\", *a)";
  else if (kind == 'V')
    remedy = "its type was lost; in Python, with the array as it was: np.save(\"new.npy\", a.astype(\"<f4\"))";
  else if (kind == 'c' || kind == 'U' || kind == 'S' || kind == 'M' || kind == 'm')
    remedy = "these are no hidden states";
  reject(path, "descr: expected '<f8', '<f4', '<f2' or bfloat16 ('|V2', '<V2'), got {}: {}", in_quotes(descr), remedy);
}

/// What comes before the array, and the array's bytes.
struct npy_parts {
  std::string_view descr;
  bool fortran_order;
  std::vector<index> shape;
  std::span<const std::byte> data;
};

npy_parts take_apart(const std::string& path, std::span<const std::byte> file) {
  constexpr std::size_t version_end = 8;  // magic, major, minor
  if (file.size() < version_end + 2) reject(path, "expected a .npy header, got only {} bytes", file.size());
  if (!is_npy(file)) reject(path, "expected a .npy array, got other bytes");
  const auto major = std::to_integer<unsigned>(file[6]);
  const auto minor = std::to_integer<unsigned>(file[7]);
  if (major < 1 || major > 3 || minor != 0)
    reject(path, "format version (bytes 6 and 7): expected 1.0, 2.0 or 3.0, got {}.{}", major, minor);

  const std::size_t header_begin = version_end + (major == 1 ? 2 : 4);
  if (file.size() < header_begin) reject(path, "expected a .npy header, got only {} bytes", file.size());
  std::uint32_t length = 0;
  std::memcpy(&length, file.data() + version_end, header_begin - version_end);
  if (length > file.size() - header_begin)
    reject(path, "header length (byte 8): expected at most {}, the bytes that follow in the file, got {}: truncated?",
           file.size() - header_begin, length);

  header_reader header(path, as_text(file.subspan(header_begin, length)), header_begin);
  header.read();
  return {*header.descr, *header.fortran_order, std::move(*header.shape), file.subspan(header_begin + length)};
}

}  // namespace

bool is_npy(std::span<const std::byte> file) { return as_text(file).substr(0, magic.size()) == magic; }

bool holds_numbers(const std::string& path, std::span<const std::byte> file) {
  const auto descr = take_apart(path, file).descr;
  return data_type_of(descr) || (descr.size() > 1 && std::string_view("fiub").find(descr[1]) != std::string_view::npos);
}

tensor_file parse_npy(const std::string& path, std::span<const std::byte> file) {
  auto [descr, fortran_order, shape, data] = take_apart(path, file);
  const auto type = data_type_of(descr);
  if (!type) reject_type(path, descr);
  const auto needed = bytes_needed(shape, bits_of(*type));
  if (!needed) reject(path, "shape: expected fewer than 2^63 bytes, got {}", shape_text(shape));
  if (data.size() != *needed)
    reject(path, "expected {} bytes for {} elements of {} after the header, got {}: {}", *needed, shape_text(shape),
           descr, data.size(), data.size() < *needed ? "truncated?" : "too many (several arrays in one file?)");

  tensor_file result{path, file_format::npy, {}, {}, nullptr, {}, {}};
  if (*type == data_type::bf16)
    result.remark = fmt::format("2-byte elements ({}) are taken for bfloat16, as ml_dtypes saves it", descr);
  result.tensors.push_back({"", *type, std::move(shape), fortran_order, data});
  return result;
}

}  // namespace examples::dumps
