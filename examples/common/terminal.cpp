#include "common/terminal.hpp"

#include <cstdlib>

#include <unistd.h>

namespace examples {

bool wants_colour() { return ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr; }

}  // namespace examples
