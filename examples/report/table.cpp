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

}  // namespace

std::string to_table(const described_profile& source, bool colour, const std::vector<column>& columns) {
  const auto emphasized = [&](const std::string& text, fmt::emphasis how) {
    return colour ? fmt::format(how, "{}", text) : text;
  };
  auto text = emphasized(printable(source.title), fmt::emphasis::bold) + "\n" + summary(source) + "\n" +
              (source.taken.states.empty() ? "" : taken_line(source) + "\n") + "\n";
  for (const std::size_t line : {0u, 1u}) {
    const auto heading =
        line_of(columns, [&](const column& c) { return fmt::format("{:>{}}", c.heading[line], c.width); });
    text += emphasized(heading, fmt::emphasis::bold) + "\n";
  }
  for (const auto& values : rows_of(source))
    text += line_of(columns,
                    [&](const column& c) {
                      return painted(fmt::format("{:>{}}", cell(c, values), c.width), c.colour, colour);
                    }) +
            "\n";
  return text;
}

}  // namespace examples::report
