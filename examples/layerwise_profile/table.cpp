#include "bar.hpp"
#include "input_error.hpp"
#include "report.hpp"

#include <fmt/color.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <optional>

namespace layerwise_profile {
namespace {

using layerwise::layer_metrics;
using layerwise::linearity_result;

enum class ink { plain, with_residual, without_residual, faint };

struct column {
  const char* heading[2];
  int width;
  ink colour;
  std::string (*cell)(index layer, const layer_metrics&);
};

template <class T>
std::string number(const char* format, const std::optional<T>& value) {
  return value ? fmt::format(fmt::runtime(format), *value) : "-";
}

/// The score with its bar; "!" where there are too few tokens for it to mean anything.
constexpr int bar_width = 8;
std::string scored_bar(const std::optional<linearity_result>& result) {
  if (!result) return "-";
  return fmt::format("{} {:6.4f}{}", bar(result->score, bar_width), result->score, result->underdetermined ? '!' : ' ');
}

std::string adjusted(const std::optional<linearity_result>& result) {
  return result ? fmt::format("{:.4f}", result->adjusted_score) : "-";
}

/// The larger of the two scores' values: one column serves both.
std::optional<double> larger(const layer_metrics& m, double linearity_result::* member) {
  std::optional<double> largest;
  for (const auto* result : {&m.linearity, &m.residual_linearity})
    if (*result) largest = std::max(largest, std::optional((**result).*member));
  return largest;
}

std::string layer_cell(index layer, const layer_metrics&) { return fmt::format("{}", layer); }
std::string with_cell(index, const layer_metrics& m) { return scored_bar(m.linearity); }
std::string with_adjusted_cell(index, const layer_metrics& m) { return adjusted(m.linearity); }
std::string without_cell(index, const layer_metrics& m) { return scored_bar(m.residual_linearity); }
std::string without_adjusted_cell(index, const layer_metrics& m) { return adjusted(m.residual_linearity); }
std::string floor_cell(index, const layer_metrics& m) {
  return number("{:.3f}", larger(m, &linearity_result::chance_floor));
}
std::string bound_cell(index, const layer_metrics& m) {
  return number("{:.0e}", larger(m, &linearity_result::error_bound));
}
std::string displacement_cell(index, const layer_metrics& m) { return fmt::format("{:.5f}", m.displacement); }
std::string jump_cell(index, const layer_metrics& m) { return number("{:.3f}", m.jump_rate); }
std::string angle_cell(index, const layer_metrics& m) { return fmt::format("{:.4f}", m.angular_distance); }
std::string contribution_cell(index, const layer_metrics& m) { return fmt::format("{:.4f}", m.contribution_ratio); }
std::string outlier_cell(index, const layer_metrics& m) {
  return number("{:.2f}", m.outlier_share ? std::optional(100 * *m.outlier_share) : std::nullopt);
}
std::string outlier_index_cell(index, const layer_metrics& m) { return number("{}", m.outlier_dimension); }

constexpr column columns[] = {
    {{"", "layer"}, 5, ink::plain, layer_cell},
    {{"linearity with", "the residual "}, bar_width + 8, ink::with_residual, with_cell},
    {{"", "adjusted"}, 8, ink::with_residual, with_adjusted_cell},
    {{"without the", "residual "}, bar_width + 8, ink::without_residual, without_cell},
    {{"", "adjusted"}, 8, ink::without_residual, without_adjusted_cell},
    {{"chance", "floor"}, 6, ink::faint, floor_cell},
    {{"error", "bound"}, 6, ink::faint, bound_cell},
    {{"displace-", "ment"}, 9, ink::plain, displacement_cell},
    {{"jump", "rate %"}, 7, ink::plain, jump_cell},
    {{"angular", "distance"}, 8, ink::plain, angle_cell},
    {{"contri-", "bution"}, 7, ink::plain, contribution_cell},
    {{"largest", "dim. %"}, 7, ink::plain, outlier_cell},
    {{"", "its no."}, 7, ink::faint, outlier_index_cell},
};

std::string painted(const std::string& text, ink colour, bool colours) {
  if (!colours) return text;
  switch (colour) {
    case ink::with_residual:
      return fmt::format(fg(fmt::terminal_color::cyan), "{}", text);
    case ink::without_residual:
      return fmt::format(fg(fmt::terminal_color::yellow), "{}", text);
    case ink::faint:
      return fmt::format(fmt::emphasis::faint, "{}", text);
    default:
      return text;
  }
}

}  // namespace

std::string to_table(const report& source, bool colour) {
  const auto emphasized = [&](const std::string& text, fmt::emphasis how) {
    return colour ? fmt::format(how, "{}", text) : text;
  };
  auto text = emphasized(printable(source.title), fmt::emphasis::bold) + "\n" + summary(source) + "\n" +
              (source.taken.states.empty() ? "" : taken_line(source) + "\n") + "\n";
  for (const std::size_t line : {0u, 1u}) {
    std::vector<std::string> cells;
    for (const auto& c : columns) cells.push_back(fmt::format("{:>{}}", c.heading[line], c.width));
    text += emphasized(fmt::format("{}", fmt::join(cells, "  ")), fmt::emphasis::bold) + "\n";
  }
  auto number = source.layer_numbers.begin();
  for (const auto& metrics : source.profile.layers) {
    const index layer = *number++;
    std::vector<std::string> cells;
    for (const auto& c : columns) {
      const auto cell = fmt::format("{:>{}}", c.cell(layer, metrics), c.width);
      cells.push_back(painted(cell, c.colour, colour));
    }
    text += fmt::format("{}\n", fmt::join(cells, "  "));
  }
  return text;
}

}  // namespace layerwise_profile
