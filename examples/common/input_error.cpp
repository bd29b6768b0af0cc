#include "common/input_error.hpp"

namespace examples {

std::string printable(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool ascii_control = byte < 0x20 || byte == 0x7f;
    // U+0080 to U+009F are C2 80 to C2 9F: terminals take some of them for the start of an escape sequence.
    const bool wide_control = byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (ascii_control || wide_control)
      result += fmt::format("\\x{:02x}", byte);
    else
      result += text[i];
  }
  return result;
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
