#pragma once

#include <string>

namespace examples::report {

/// Text as a gnuplot string, in double quotes: all of ASCII but letters, digits and spaces is written as \ooo, which
/// gnuplot reads as that byte and looks at no further. So no name can end the string, run a command (a backquote does in
/// double quotes) or name a macro. In single quotes '' is no quote where a quote is before it.
std::string gnuplot_string(const std::string& text);

/// The line that chooses what is drawn: by the name's ending .svg, of that size, or .png, of one and a half times it.
/// Throws std::runtime_error for others.
std::string gnuplot_terminal(const std::string& path, int width, int height);

/// Runs gnuplot and writes what it draws to `path`. Throws std::runtime_error where it is missing or fails, with
/// the first error that it reports, and where the file can't be written; `wanted_by` is who says that it needs gnuplot.
void draw(const std::string& script, const std::string& path, const std::string& wanted_by);

}  // namespace examples::report
