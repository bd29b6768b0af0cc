#include "common/input_error.hpp"

namespace examples {

namespace {

/// The bytes of the UTF-8 character that `text` begins with: 0 where it begins with none, or with one that is written in
/// more bytes than it takes.
std::size_t character_size(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t size = byte(0) < 0x80   ? 1
                           : byte(0) < 0xc2 ? 0
                           : byte(0) < 0xe0 ? 2
                           : byte(0) < 0xf0 ? 3
                           : byte(0) < 0xf5 ? 4
                                            : 0;
  if (size > text.size()) return 0;
  for (std::size_t i = 1; i < size; ++i)
    if ((byte(i) & 0xc0u) != 0x80u) return 0;
  const bool too_long = (byte(0) == 0xe0 && byte(1) < 0xa0) || (byte(0) == 0xf0 && byte(1) < 0x90);
  const bool surrogate = byte(0) == 0xed && byte(1) > 0x9f, beyond = byte(0) == 0xf4 && byte(1) > 0x8f;
  return too_long || surrogate || beyond ? 0 : size;
}

/// U+0000 to U+001F, U+007F, and U+0080 to U+009F (C2 80 to C2 9F): terminals take some of these for the start of an
/// escape sequence.
bool is_control(std::string_view character) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  return byte(0) < 0x20 || byte(0) == 0x7f || (byte(0) == 0xc2 && byte(1) < 0xa0);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const auto size = character_size(text);
    const auto character = text.substr(0, size == 0 ? 1 : size);
    if (size == 0 || is_control(character))
      for (const char byte : character) result += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
    else
      result += character;
    text.remove_prefix(character.size());
  }
  return result;
}

std::optional<std::size_t> first_not_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto size = character_size(text.substr(at));
    if (size == 0) return at;
    at += size;
  }
  return std::nullopt;
}

std::string shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  auto end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0u) == 0x80u) --end;
  return fmt::format("{}...", text.substr(0, end));
}

std::string in_quotes(std::string_view name) { return fmt::format("'{}'", shortened(name, 80)); }

input_error::input_error(std::string_view file, std::string_view message)
    : std::runtime_error(printable(fmt::format("{}: {}", file, message))) {}

}  // namespace examples
