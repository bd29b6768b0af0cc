#pragma once

#include <functional>
#include <string>

namespace examples {

/// The whole text to `path`, or to stdout where that is empty. A reader of stdout that has seen enough (`| head`) is no
/// error. Throws std::runtime_error.
void print_or_write(const std::string& path, const std::string& text);

/// Runs the body of a program that maps files and prints: what it throws becomes one line on stderr, "PROGRAM: error:
/// ...", a closed pipe is seen where it is written to, and a mapped file that shrinks ends the program with a message.
/// Gives back the exit status: the body's, or 1.
int run_program(const char* program, const std::function<int()>& body);

}  // namespace examples
