#pragma once

#include "common/input_error.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <string_view>
#include <utility>

namespace examples {

/// Whether standard output is a terminal, and NO_COLOR is not set.
bool wants_colour();

/// One line on stderr, "PROGRAM: ...".
template <class... Arguments>
void say(std::string_view program, fmt::format_string<Arguments...> message, Arguments&&... arguments) {
  fmt::print(stderr, "{}: {}\n", program, printable(fmt::format(message, std::forward<Arguments>(arguments)...)));
}

}  // namespace examples
