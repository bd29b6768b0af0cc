#include "report/plot.hpp"

#include "common/input_error.hpp"
#include "report/gnuplot.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>

namespace examples::report {
namespace {

using layerwise::layer_profile;

/// One line per layer, with what the plot is of.
std::string data_block(const described_profile& source) {
  std::string text = "$profile << END\n";
  for (const auto& row : rows_of(source)) {
    std::vector<std::string> numbers;
    for (const auto* field : {"layer", "linearity_score", "linearity_adjusted_score", "residual_linearity_score",
                              "residual_linearity_adjusted_score", "chance_floor", "displacement"}) {
      const auto number = text_of(find_value(row, field));
      numbers.push_back(number.empty() ? "?" : number);
    }
    text += fmt::format("{}\n", fmt::join(numbers, " "));
  }
  return text + "END\n";
}

/// The lowest value the upper panel shows: 0, or below where an adjusted score is.
double lowest_score(const layer_profile& profile) {
  double lowest = 0;
  for (const auto& m : profile.layers)
    for (const auto& result : {m.linearity, m.residual_linearity})
      if (result) lowest = std::min(lowest, result->adjusted_score);
  return std::max(lowest, -1.0);
}

double largest_displacement(const layer_profile& profile) {
  double largest = 0;
  for (const auto& m : profile.layers) largest = std::max(largest, m.displacement);
  return largest > 0 ? largest : 1;
}

/// An arrow beside the last point, from the displacement of the layer before up to its own, with zeta_L next
/// to it.
std::string final_jump(const described_profile& source) {
  const auto& profile = source.profile;
  if (profile.layers.size() < 2) return {};
  const auto count = static_cast<double>(source.layer_numbers.back());
  const auto one_before = static_cast<double>(source.layer_numbers[source.layer_numbers.size() - 2]);
  const auto& last = profile.layers.back();
  const double before = profile.layers[profile.layers.size() - 2].displacement;
  if (!last.jump_rate || !(last.displacement > before)) return {};
  const double x = count + 0.018 * (count - static_cast<double>(source.layer_numbers.front()) + 1.0) + 0.25;
  return fmt::format(
      "set arrow from {2}, {0} to {1}, {0} nohead linestyle 7\n"
      "set arrow from {4}, {3} to {1}, {3} nohead linestyle 7\n"
      "set arrow from {1}, {0} to {1}, {3} head filled size screen 0.010, 18 linestyle 6\n"
      "set label 'final jump  {{/:Bold {5:.2f} %}}' at {1}, {3} right offset character 0.8, 1 "
      "textcolor rgb '#b0305c'\n",
      before, x, one_before, last.displacement, count, *last.jump_rate);
}

/// The title's font size: smaller for a long one, so that it fits the page.
std::size_t title_size(const std::string& title) {
  return std::clamp<std::size_t>(19 * 70 / std::max<std::size_t>(title.size(), 1), 13, 19);
}

constexpr auto style = R"(
set datafile missing '?'
set style line 1 linecolor rgb '#1f6fb4' linewidth 2.2 pointtype 7 pointsize 0.45
set style line 2 linecolor rgb '#7fb2de' linewidth 1.6 dashtype (6,4)
set style line 3 linecolor rgb '#e07b1a' linewidth 2.2 pointtype 7 pointsize 0.45
set style line 4 linecolor rgb '#f0b880' linewidth 1.6 dashtype (6,4)
set style line 5 linecolor rgb '#8a8a8a' linewidth 1.0
set style line 6 linecolor rgb '#b0305c' linewidth 1.8
set style line 7 linecolor rgb '#b0305c' linewidth 0.8 dashtype (2,3)
set style line 8 linecolor rgb '#3d8f5f' linewidth 2.2 pointtype 7 pointsize 0.45
set style line 9 linecolor rgb '#e4e4e4' linewidth 0.8
set border 3 linecolor rgb '#606060'
set tics nomirror out scale 0.5 textcolor rgb '#404040'
set grid ytics linestyle 9
set format y '%g'
set multiplot
set lmargin at screen 0.100
set rmargin at screen 0.965
)";

constexpr auto upper_panel = R"(
set tmargin at screen 0.825
set bmargin at screen 0.475
set key at screen 0.090, 0.895 left top horizontal Left reverse samplen 2.2 width 0.5 textcolor rgb '#404040' font ',13'
set ylabel 'linearity score' offset 0.5, 0
plot $profile using 1:5 with lines linestyle 4 notitle, \
     '' using 1:3 with lines linestyle 2 notitle, \
     '' using 1:2 with linespoints linestyle 1 title 'with the residual', \
     '' using 1:4 with linespoints linestyle 3 title 'without the residual', \
     NaN with lines linecolor rgb '#909090' linewidth 1.6 dashtype (6,4) title 'adjusted for chance', \
     $profile using 1:6 with lines linestyle 5 title 'chance floor'
unset label 1
unset label 2
set tmargin at screen 0.405
set bmargin at screen 0.090
unset key
set xlabel 'layer' offset 0, 0.3
set ylabel 'displacement  Ψ_l' offset 0.5, 0
)";

constexpr auto lower_panel = R"(
plot $profile using 1:7 with filledcurves y1=0 fillcolor rgb '#3d8f5f' fillstyle transparent solid 0.12 noborder, \
     '' using 1:7 with linespoints linestyle 8
unset multiplot
)";

std::string labels(const described_profile& source) {
  return fmt::format(
      "set label 1 {} at screen 0.100, 0.965 left noenhanced font ',{}'\n"
      "set label 2 {} at screen 0.100, 0.927 left noenhanced textcolor rgb '#606060' font ',13'\n",
      gnuplot_string(shortened(source.title, 100)), title_size(source.title), gnuplot_string(summary(source)));
}

std::string script(const described_profile& source, const std::string& path) {
  const auto first = static_cast<double>(source.layer_numbers.front());
  const auto last = static_cast<double>(source.layer_numbers.back());
  std::string text = "set encoding utf8\n" + gnuplot_terminal(path, 960, 780) + data_block(source) + style;
  text +=
      fmt::format("set xrange [{}:{}]\n", first - (last > first ? 0.5 : 1.0), last + 0.06 * (last - first + 1.0) + 0.5);
  text += labels(source);
  text += fmt::format("set yrange [{}:1.02]\n", lowest_score(source.profile)) + upper_panel;
  text += fmt::format("set yrange [0:{}]\n", 1.25 * largest_displacement(source.profile));
  return text + final_jump(source) + lower_panel;
}

}  // namespace

void write_plot(const described_profile& source, const std::string& path) {
  draw(script(source, path), path, "--plot");
}

}  // namespace examples::report
