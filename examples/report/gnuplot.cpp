#include "report/gnuplot.hpp"

#include "common/input_error.hpp"
#include "common/subprocess.hpp"
#include "common/write_file.hpp"

#include <fmt/format.h>

#include <cctype>
#include <sstream>
#include <stdexcept>

namespace examples::report {
namespace {

/// What gnuplot says first that is an error: "line 0: undefined variable: x". Before it may be warnings, and the command
/// with a caret below; after it, what follows from it.
std::string first_error(const std::string& text) {
  std::istringstream lines(text);
  std::string first;
  for (std::string line; std::getline(lines, line);) {
    line.erase(0, line.find_first_not_of(" \t"));
    if (line.empty() || line.find("warning:") != std::string::npos) continue;
    if (line.starts_with("line ")) return line;
    if (first.empty()) first = line;
  }
  return first;
}

}  // namespace

std::string gnuplot_string(const std::string& text) {
  std::string result = "\"";
  bool is_plain = true;
  for (const char c : printable(text)) {
    const auto byte = static_cast<unsigned char>(c);
    // A digit that follows a number would be one of its digits: gnuplot reads four.
    const bool ends_number = is_plain || std::isdigit(byte) == 0;
    is_plain = byte >= 0x80 || byte == ' ' || (std::isalnum(byte) != 0 && ends_number);
    result += is_plain ? std::string(1, c) : fmt::format("\\{:03o}", byte);
  }
  return result + "\"";
}

std::string gnuplot_terminal(const std::string& path, int width, int height) {
  if (path.ends_with(".svg"))
    return fmt::format("set terminal svg size {},{} font 'Helvetica,Arial,sans-serif,15' background '#ffffff'\n", width,
                       height);
  if (path.ends_with(".png"))
    return fmt::format(
        "set terminal pngcairo size {},{} font 'Helvetica,15' fontscale 1.4 linewidth 1.5 pointscale 1.5 "
        "background '#ffffff'\n",
        width * 3 / 2, height * 3 / 2);
  throw std::runtime_error(fmt::format("{}: expected a plot file ending in .svg or .png", path));
}

void draw(const std::string& script, const std::string& path, const std::string& wanted_by) {
  const auto result = run_process({"gnuplot", "--default-settings"}, script);
  if (!result)
    throw std::runtime_error(wanted_by +
                             " needs gnuplot, which is not installed (Debian: apt-get install gnuplot-nox)");
  if (result->status != 0 || result->output.empty())
    throw std::runtime_error(
        fmt::format("gnuplot failed with status {}: {}", result->status, first_error(result->errors)));
  write_file(path, result->output);
}

}  // namespace examples::report
