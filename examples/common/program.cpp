#include "common/program.hpp"

#include "common/terminal.hpp"
#include "common/write_file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>

#include <unistd.h>

namespace examples {
namespace {

const char* running = "";

/// A mapped file that shrinks, or a disk that fails, while it is read raises SIGBUS.
extern "C" void end_on_bus_error(int) {
  constexpr char message[] = ": a file could no longer be read: did it shrink?\n";
  if (::write(STDERR_FILENO, running, std::strlen(running)) < 0 ||
      ::write(STDERR_FILENO, message, sizeof message - 1) < 0)
    ::_exit(2);
  ::_exit(1);
}

}  // namespace

void print_or_write(const std::string& path, const std::string& text) {
  if (!path.empty()) return write_file(path, text);
  const bool complete = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (!complete && errno != EPIPE)
    throw std::runtime_error(fmt::format("standard output can't be written: {}", std::strerror(errno)));
}

int run_program(const char* program, const std::function<int()>& body) {
  running = program;
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGBUS, end_on_bus_error);
  try {
    return body();
  } catch (const std::bad_alloc&) {
    say(program, "error: out of memory");
  } catch (const std::exception& error) {
    say(program, "error: {}", error.what());
  }
  return EXIT_FAILURE;
}

}  // namespace examples
