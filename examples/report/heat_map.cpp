#include "report/heat_map.hpp"

#include "common/input_error.hpp"
#include "report/gnuplot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace examples::report {
namespace {

using layerwise::index;

/// One line a row: "column row value".
std::string map_data(const heat_map& map, std::size_t number) {
  auto text = fmt::format("$map{} << END\n", number);
  for (index i = 0; i < map.values.rows(); ++i)
    for (index j = 0; j < map.values.cols(); ++j)
      text += std::isfinite(map.values(i, j)) ? fmt::format("{} {} {}\n", j, i, map.values(i, j))
                                              : fmt::format("{} {} NaN\n", j, i);
  return text + "END\n";
}

/// The layers' numbers, as many as fit along a side that is `share` of the longer one, the last one always.
std::string tics(const std::vector<index>& numbers, double share) {
  const auto last = std::ssize(numbers) - 1;
  const auto most = std::max<index>(1, static_cast<index>(12 * share));
  const auto step = std::max<index>(1, (last + most - 1) / most);
  std::string text;
  for (index i = 0; i <= last; ++i)
    if (i == last || (i % step == 0 && last - i >= step))
      text += fmt::format("{}'{}' {}", text.empty() ? "" : ", ", numbers[static_cast<std::size_t>(i)], i);
  return "(" + text + ")";
}

/// The range of the colours; of equal values one around them.
std::string colour_range(const heat_map& map) {
  double low = HUGE_VAL, high = -HUGE_VAL;
  for (const double value : map.values.reshaped())
    if (std::isfinite(value)) low = std::min(low, value), high = std::max(high, value);
  if (!(low <= high)) low = 0, high = 1;
  low = map.lowest.value_or(low), high = map.highest.value_or(high);
  if (!(low < high)) low -= 0.5, high += 0.5;
  return fmt::format("[{}:{}]", low, high);
}

std::string map_panel(const heat_map& map, std::size_t number) {
  const auto rows = static_cast<double>(map.values.rows()), columns = static_cast<double>(map.values.cols());
  return fmt::format(
      "set title {} font ',15' noenhanced offset 0, -0.5\n"
      "set xlabel {} noenhanced offset 0, 0.5\nset ylabel {} noenhanced\n"
      "set xtics {}\nset ytics {}\n"
      "set xrange [-0.5:{}]\nset yrange [-0.5:{}]\nset cbrange {}\n"
      "plot $map{} using 1:2:3 with image pixels notitle\n",
      gnuplot_string(map.name), gnuplot_string(map.column_label), gnuplot_string(map.row_label),
      tics(map.column_numbers, std::min(1.0, columns / rows)), tics(map.row_numbers, std::min(1.0, rows / columns)),
      columns - 0.5, rows - 0.5, colour_range(map), number);
}

/// The font's size with which the text fits a picture of that width, `largest` at most.
int font_size(const std::string& text, double width, double largest) {
  return static_cast<int>(std::clamp((width - 40) / (0.55 * static_cast<double>(text.size() + 1)), 7.0, largest));
}

/// The panels in rows of up to three.
struct grid {
  std::size_t columns, rows;

  explicit grid(std::size_t count)
      : columns(count == 4 ? 2 : std::min<std::size_t>(count, 3)), rows((count + columns - 1) / columns) {}
};

constexpr auto map_style = R"(
set datafile missing '?'
set palette defined (0 '#440154', 0.25 '#3b528b', 0.5 '#21918c', 0.75 '#5ec962', 1 '#fde725')
set border linecolor rgb '#606060'
set tics nomirror out scale 0.4 textcolor rgb '#404040'
set size ratio -1
unset key
)";

}  // namespace

void write_heat_maps(const std::vector<heat_map>& maps, const picture_title& title, const std::string& path,
                     const std::string& wanted_by) {
  const grid panels(maps.size());
  const auto width = panels.columns * 560, height = panels.rows * 500 + 80;
  const double top = 1 - 70.0 / static_cast<double>(height);
  auto text = "set encoding utf8\n" + gnuplot_terminal(path, static_cast<int>(width), static_cast<int>(height));
  for (std::size_t i = 0; i < maps.size(); ++i) text += map_data(maps[i], i);
  text += map_style;
  text += fmt::format("set multiplot layout {},{} margins screen {}, {}, {}, {} spacing screen {}, {}\n", panels.rows,
                      panels.columns, 75.0 / static_cast<double>(width), 1 - 100.0 / static_cast<double>(width),
                      65.0 / static_cast<double>(height), top - 30.0 / static_cast<double>(height),
                      165.0 / static_cast<double>(width), 110.0 / static_cast<double>(height));
  text += fmt::format(
      "set label 1 {} at screen {}, {} left noenhanced font ',{}'\n"
      "set label 2 {} at screen {}, {} left noenhanced textcolor rgb '#606060' font ',{}'\n",
      gnuplot_string(shortened(title.title, 100)), 20.0 / static_cast<double>(width),
      1 - 25.0 / static_cast<double>(height), font_size(title.title, static_cast<double>(width), 17),
      gnuplot_string(title.below), 20.0 / static_cast<double>(width), 1 - 52.0 / static_cast<double>(height),
      font_size(title.below, static_cast<double>(width), 12));
  for (std::size_t i = 0; i < maps.size(); ++i) {
    text += map_panel(maps[i], i);
    if (i == 0) text += "unset label 1\nunset label 2\n";
  }
  draw(text + "unset multiplot\n", path, wanted_by);
}

}  // namespace examples::report
