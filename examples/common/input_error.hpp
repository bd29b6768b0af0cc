#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace examples {

/// Something is wrong with an input file or with how the files fit together. One line, printable on a
/// terminal whatever the file's bytes are: "FILE: where: expected ..., got ...".
class input_error : public std::runtime_error {
 public:
  input_error(std::string_view file, std::string_view message);
};

/// Throws an input_error with a message made as fmt::format makes it.
template <class... Arguments>
[[noreturn]] void reject(std::string_view file, fmt::format_string<Arguments...> message, Arguments&&... arguments) {
  throw input_error(file, fmt::format(message, std::forward<Arguments>(arguments)...));
}

/// `text` with the bytes of control characters, and those that are not UTF-8, written as \xNN, so that no file can move
/// the cursor or add a line.
std::string printable(std::string_view text);

/// Where `text` stops being UTF-8; nothing where it is that throughout.
std::optional<std::size_t> first_not_utf8(std::string_view text);

/// `text` up to `most` bytes, not cut inside a UTF-8 character; "..." stands for the rest.
std::string shortened(std::string_view text, std::size_t most);

/// `name` in quotes, shortened when long: names come from files, and a header may hold megabytes of them.
std::string in_quotes(std::string_view name);

}  // namespace examples
