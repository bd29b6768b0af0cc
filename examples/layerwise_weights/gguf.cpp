#include "gguf.hpp"

#include "common/input_error.hpp"
#include "dumps/tensor_file.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

namespace examples::layerwise_weights {
namespace {

constexpr std::string_view magic = "GGUF";
constexpr std::size_t most_integers = 65536;  // of a list that is kept
constexpr std::uint32_t most_dimensions = 4;

/// The types of metadata, by their numbers in the file.
enum class value_type : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, list, u64, i64, f64 };

/// Bytes of a value of fixed size; 0 for texts, lists and unknown types.
std::size_t size_of(value_type type) {
  constexpr std::size_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  const auto number = static_cast<std::size_t>(type);
  return number < std::size(sizes) ? sizes[number] : 0;
}

/// Walks through the header; nothing is read beyond the file.
class cursor {
 public:
  cursor(const std::string& path, std::span<const std::byte> file) : path_(path), file_(file) {}

  std::size_t position() const { return position_; }
  std::size_t left() const { return file_.size() - position_; }

  std::span<const std::byte> take(std::uint64_t count, std::string_view what) {
    if (count > left())
      reject(path_, "{}: expected {} bytes at byte {}, got the {} that the file still has: truncated?", what, count,
             position_, left());
    const auto bytes = file_.subspan(position_, static_cast<std::size_t>(count));
    position_ += bytes.size();
    return bytes;
  }

  template <class T>
  T number(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    return value;
  }

  std::string text(std::string_view what) {
    const auto bytes = take(number<std::uint64_t>(what), what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  /// A number of things that have `least` bytes each, at least.
  std::uint64_t count(std::size_t least, std::string_view what) {
    const auto value = number<std::uint64_t>(what);
    if (value > left() / least)
      reject(path_, "{}: expected at most {}, as many as the file has room for, got {}: truncated?", what,
             left() / least, value);
    return value;
  }

  const std::string& path() const { return path_; }

 private:
  const std::string& path_;
  std::span<const std::byte> file_;
  std::size_t position_ = 0;
};

std::optional<std::int64_t> integer(cursor& in, value_type type, const std::string& what) {
  switch (type) {
    case value_type::u8:
      return in.number<std::uint8_t>(what);
    case value_type::i8:
      return in.number<std::int8_t>(what);
    case value_type::u16:
      return in.number<std::uint16_t>(what);
    case value_type::i16:
      return in.number<std::int16_t>(what);
    case value_type::u32:
      return in.number<std::uint32_t>(what);
    case value_type::i32:
      return in.number<std::int32_t>(what);
    case value_type::u64:
    case value_type::i64:
      return in.number<std::int64_t>(what);
    default:
      return std::nullopt;
  }
}

/// A list is kept where it is of integers and not a vocabulary's.
std::optional<gguf_value> list(cursor& in, const std::string& what) {
  const auto type = static_cast<value_type>(in.number<std::uint32_t>(what));
  const auto size = size_of(type);
  if (size == 0 && type != value_type::text)
    reject(in.path(), "{}: expected a list of numbers or texts, got one of type {}", what,
           static_cast<std::uint32_t>(type));
  const auto count = in.count(size > 0 ? size : sizeof(std::uint64_t), what);
  if (type == value_type::text) {
    for (std::uint64_t i = 0; i < count; ++i) in.take(in.number<std::uint64_t>(what), what);
    return std::nullopt;
  }
  const bool is_kept =
      count <= most_integers && type != value_type::f32 && type != value_type::f64 && type != value_type::boolean;
  if (!is_kept) {
    in.take(count * size, what);
    return std::nullopt;
  }
  std::vector<std::int64_t> numbers;
  for (std::uint64_t i = 0; i < count; ++i) numbers.push_back(*integer(in, type, what));
  return numbers;
}

std::optional<gguf_value> value(cursor& in, const std::string& what) {
  const auto type = static_cast<value_type>(in.number<std::uint32_t>(what));
  switch (type) {
    case value_type::f32:
      return static_cast<double>(in.number<float>(what));
    case value_type::f64:
      return in.number<double>(what);
    case value_type::boolean:
      return in.number<std::uint8_t>(what) != 0;
    case value_type::text:
      return in.text(what);
    case value_type::list:
      return list(in, what);
    default:
      if (const auto number = integer(in, type, what)) return *number;
      reject(in.path(), "{}: expected a type of value from 0 to 12, got {}", what, static_cast<std::uint32_t>(type));
  }
}

/// A tensor whose bytes are not known yet, with where they begin.
std::pair<gguf_tensor, std::uint64_t> entry(cursor& in) {
  gguf_tensor result{in.text("a tensor's name"), nullptr, {}, {}};
  const auto what = "tensor " + in_quotes(result.name);
  const auto rank = in.number<std::uint32_t>(what);
  if (rank > most_dimensions)
    reject(in.path(), "{}: expected at most {} dimensions, got {}", what, most_dimensions, rank);
  for (std::uint32_t i = 0; i < rank; ++i) {
    result.dimensions.push_back(in.number<std::int64_t>(what));
    if (result.dimensions.back() < 0)
      reject(in.path(), "{}: expected dimensions below 2^63, got {}", what,
             static_cast<std::uint64_t>(result.dimensions.back()));
  }
  const auto number = in.number<std::uint32_t>(what);
  result.format = format_of_gguf(number);
  if (result.format == nullptr)
    reject(in.path(), "{}: expected a format that GGUF has, got number {}: made by a newer program?", what, number);
  return {std::move(result), in.number<std::uint64_t>(what)};
}

/// Bytes of a tensor; nothing where they are no multiple of a block, or too many to count.
std::optional<std::size_t> size_of(const gguf_tensor& tensor) {
  const auto& format = *tensor.format;
  const auto row = tensor.dimensions.empty() ? 1 : tensor.dimensions.front();
  if (static_cast<std::uint64_t>(row) % format.block != 0) return std::nullopt;
  const std::vector<dumps::index> shape(tensor.dimensions.begin(), tensor.dimensions.end());
  const auto elements = dumps::bytes_needed(shape, 8);
  if (!elements || *elements / format.block > std::size_t{1} << 48) return std::nullopt;
  return *elements / format.block * format.block_bytes;
}

void check_version(const std::string& path, std::uint32_t version) {
  if (version == 2 || version == 3) return;
  if ((version & 0xffffu) == 0)
    reject(path,
           "expected a little-endian GGUF file, got a big-endian one: convert it, with gguf-py's "
           "gguf_convert_endian.py {} little",
           path);
  reject(path, "expected GGUF version 2 or 3, got {}", version);
}

}  // namespace

bool is_gguf(std::span<const std::byte> file) {
  return file.size() >= magic.size() && std::memcmp(file.data(), magic.data(), magic.size()) == 0;
}

gguf_file parse_gguf(const std::string& path, std::span<const std::byte> file) {
  if (!is_gguf(file)) reject(path, "expected a GGUF file, which begins with GGUF, got another one");
  cursor in(path, file);
  in.take(magic.size(), "GGUF");
  check_version(path, in.number<std::uint32_t>("version"));
  const auto tensors = in.count(24, "number of tensors"), entries = in.count(13, "number of metadata entries");

  gguf_file result;
  std::set<std::string> keys;
  for (std::uint64_t i = 0; i < entries; ++i) {
    auto key = in.text("a metadata key");
    if (!keys.insert(key).second) reject(path, "expected each metadata key once, got {} twice", in_quotes(key));
    if (auto kept = value(in, "metadata " + in_quotes(key))) result.metadata.emplace(std::move(key), std::move(*kept));
  }
  std::vector<std::uint64_t> offsets;
  std::set<std::string> names;
  for (std::uint64_t i = 0; i < tensors; ++i) {
    auto [tensor, offset] = entry(in);
    if (!names.insert(tensor.name).second)
      reject(path, "expected each tensor once, got {} twice", in_quotes(tensor.name));
    result.tensors.push_back(std::move(tensor));
    offsets.push_back(offset);
  }

  std::uint64_t alignment = 32;
  if (const auto found = result.metadata.find("general.alignment"); found != result.metadata.end()) {
    const auto* stated = std::get_if<std::int64_t>(&found->second);
    if (stated == nullptr || *stated < 1 || *stated > 1 << 20)
      reject(path, "metadata 'general.alignment': expected a number from 1 to 2^20, got another value");
    alignment = static_cast<std::uint64_t>(*stated);
  }
  const auto padding = (alignment - in.position() % alignment) % alignment;
  const auto data = file.subspan(std::min<std::size_t>(in.position() + padding, file.size()));
  for (std::size_t i = 0; i < result.tensors.size(); ++i) {
    auto& tensor = result.tensors[i];
    const std::vector<dumps::index> shape(tensor.dimensions.begin(), tensor.dimensions.end());
    const auto size = size_of(tensor);
    if (!size)
      reject(
          path,
          "tensor {}: expected rows of a multiple of {} elements, as {} has them, and fewer than 2^48 blocks, got {}",
          in_quotes(tensor.name), tensor.format->block, tensor.format->name, dumps::shape_text(shape));
    if (offsets[i] % alignment != 0)
      reject(path, "tensor {}: expected an offset that is a multiple of {}, got {}", in_quotes(tensor.name), alignment,
             offsets[i]);
    if (offsets[i] > data.size() || *size > data.size() - offsets[i])
      reject(path, "tensor {}: expected {} bytes from byte {} of the data on, got the {} that the file has: truncated?",
             in_quotes(tensor.name), *size, offsets[i], data.size());
    tensor.bytes = data.subspan(static_cast<std::size_t>(offsets[i]), *size);
  }
  return result;
}

}  // namespace examples::layerwise_weights
