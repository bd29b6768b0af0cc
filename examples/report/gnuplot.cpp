#include "report/gnuplot.hpp"

#include "common/input_error.hpp"
#include "common/subprocess.hpp"
#include "common/write_file.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace examples::report {
namespace {

std::string last_line(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);  // npos + 1 is 0
}

}  // namespace

std::string gnuplot_string(const std::string& text) {
  std::string result = "'";
  for (const char c : printable(text)) result += c == '\'' ? std::string("''") : std::string(1, c);
  return result + "'";
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
        fmt::format("gnuplot failed with status {}: {}", result->status, last_line(result->errors)));
  write_file(path, result->output);
}

}  // namespace examples::report
