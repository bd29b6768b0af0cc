#include "report/bar.hpp"
#include "report/columns.hpp"
#include "report/report.hpp"
#include "report/values.hpp"

#include "common/input_error.hpp"

#include <fmt/color.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstddef>
#include <string_view>
#include <type_traits>

namespace examples::report {
namespace {

std::string bar_cell(const std::vector<named_value>& values, const std::string& field, double score) {
  constexpr int bar_width = 8;
  constexpr std::string_view name = "score";
  const auto part = field.substr(0, field.size() - name.size());
  const bool meaningless = find_value(values, part + "underdetermined") == field_value(true);
  return fmt::format("{} {:6.4f}{}", bar(score, bar_width), score, meaningless ? '!' : ' ');
}

/// "-" for an undefined value.
std::string cell(const column& c, const std::vector<named_value>& values) {
  const auto content = find_value(values, c.field);
  if (std::holds_alternative<std::monostate>(content)) return "-";
  if (c.format == with_bar) return bar_cell(values, c.field, std::get<double>(content));
  return std::visit(
      [&]<class T>(const T& held) {
        if constexpr (std::is_same_v<T, double>)
          return fmt::format(fmt::runtime(c.format), c.unit * held);
        else
          return text_of(field_value(held));
      },
      content);
}

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

/// The cells of a line, each as wide as its column.
template <class Cell>
std::string line_of(const std::vector<column>& columns, const Cell& cell_of) {
  std::vector<std::string> cells;
  for (const auto& c : columns) cells.push_back(cell_of(c));
  return fmt::format("{}", fmt::join(cells, "  "));
}

/// The default columns and what was added, in groups that are no wider than the first, each with the layer's number.
std::vector<std::vector<column>> groups_of(const added_columns& added) {
  auto columns = default_columns();
  for (const auto& name : added.shown) columns.push_back(added_column(name));
  constexpr int widest = 134;
  std::vector<std::vector<column>> groups{{columns.front()}};
  int width = columns.front().width;
  for (std::size_t i = 1; i < columns.size(); ++i) {
    if (width + 2 + columns[i].width > widest) {
      groups.push_back({columns.front()});
      width = columns.front().width;
    }
    groups.back().push_back(columns[i]);
    width += 2 + columns[i].width;
  }
  return groups;
}

}  // namespace

std::string to_table(const described_profile& source, bool colour, const std::vector<column>& columns) {
  const auto emphasized = [&](const std::string& text, fmt::emphasis how) {
    return colour ? fmt::format(how, "{}", text) : text;
  };
  auto text = emphasized(printable(source.title), fmt::emphasis::bold) + "\n" + summary(source) + "\n" +
              (source.taken.states.empty() ? "" : taken_line(source) + "\n");
  const auto rows = rows_of(source);
  for (const auto& group : columns.empty() ? groups_of(source.added) : std::vector<std::vector<column>>{columns}) {
    text += "\n";
    for (const std::size_t line : {0u, 1u}) {
      const auto heading =
          line_of(group, [&](const column& c) { return fmt::format("{:>{}}", c.heading[line], c.width); });
      text += emphasized(heading, fmt::emphasis::bold) + "\n";
    }
    for (const auto& values : rows)
      text += line_of(group,
                      [&](const column& c) {
                        return painted(fmt::format("{:>{}}", cell(c, values), c.width), c.colour, colour);
                      }) +
              "\n";
  }
  return text;
}

}  // namespace examples::report
