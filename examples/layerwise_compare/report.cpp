#include "report.hpp"

#include "common/input_error.hpp"
#include "report/columns.hpp"
#include "report/fields_json.hpp"
#include "report/heat_map.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <utility>

namespace examples::layerwise_compare {
namespace {

using nlohmann::ordered_json;  // keys stay in the order written here
using report::field_value;

std::string line_of(const char* which, const compared_dump& dump) {
  return printable(fmt::format("{}  {}: {} states of {} dimensions, {}, read as {}", which, dump.title,
                               dump.numbers.size(), dump.dimensions, dump.dtype, dump.taken.axes)) +
         "\n";
}

index number_of(const std::vector<index>& numbers, index layer) { return numbers[static_cast<std::size_t>(layer)]; }

std::string cell_of(const field_value& value) {
  return std::holds_alternative<double>(value) ? fmt::format("{:.3f}", std::get<double>(value)) : "-";
}

/// The first column of each metric, with its place in a row.
std::vector<std::pair<const metrics::metric*, std::size_t>> first_columns(const comparison& source) {
  std::vector<std::pair<const metrics::metric*, std::size_t>> places;
  std::size_t place = 0;
  for (const auto* each : source.values.chosen()) {
    places.emplace_back(each, place);
    place += each->columns.size();
  }
  return places;
}

std::string matrix_text(const comparison& source, const metrics::metric& of, std::size_t column) {
  const auto& columns = source.b.numbers;
  auto text = fmt::format("\n{}: {}\n{:>7}", of.name, of.what, "A \\ B");
  for (const auto number : columns) text += fmt::format("{:>7}", number);
  for (std::size_t i = 0; i < source.pairs.size(); ++i) {
    if (i % columns.size() == 0) text += fmt::format("\n{:>7}", number_of(source.a.numbers, source.pairs[i].from));
    text += fmt::format("{:>7}", cell_of(source.values.row(i)[column]));
  }
  return text + "\n";
}

std::string pairs_text(const comparison& source) {
  std::string text = "\n";
  const auto shown = first_columns(source);
  std::vector<report::column> columns;
  for (const auto& [metric, place] : shown) columns.push_back(report::added_column(std::string(metric->name)));
  for (const std::size_t line : {0u, 1u}) {
    text += fmt::format("{:>7}{:>7}", line == 0 ? "layer" : "of A", line == 0 ? "layer" : "of B");
    for (const auto& each : columns) text += fmt::format("  {:>{}}", each.heading[line], each.width);
    text += "\n";
  }
  for (std::size_t i = 0; i < source.pairs.size(); ++i) {
    text += fmt::format("{:>7}{:>7}", number_of(source.a.numbers, source.pairs[i].from),
                        number_of(source.b.numbers, source.pairs[i].to));
    for (std::size_t k = 0; k < shown.size(); ++k)
      text += fmt::format("  {:>{}}", cell_of(source.values.row(i)[shown[k].second]), columns[k].width);
    text += "\n";
  }
  return text;
}

ordered_json dump_json(const compared_dump& dump) {
  return {{"title", dump.title},           {"files", dump.files},
          {"dimensions", dump.dimensions}, {"dtype", dump.dtype},
          {"layers", dump.numbers},        {"tensors", dump.taken.states},
          {"axes", dump.taken.axes},       {"axes_because", dump.taken.axes_because},
          {"remarks", dump.taken.remarks}, {"assumed", dump.taken.assumed}};
}

}  // namespace

std::string to_text(const comparison& source) {
  auto text = line_of("A", source.a) + line_of("B", source.b) + fmt::format("{} tokens\n", source.tokens);
  if (source.kind == pairing::same) return text + pairs_text(source);
  for (const auto& [metric, place] : first_columns(source)) text += matrix_text(source, *metric, place);
  return text;
}

std::string to_csv(const comparison& source) {
  auto text = fmt::format("a_layer,b_layer,{}\n", fmt::join(source.values.columns(), ","));
  for (std::size_t i = 0; i < source.pairs.size(); ++i) {
    std::vector<std::string> cells;
    for (const auto& value : source.values.row(i)) cells.push_back(report::text_of(value));
    text += fmt::format("{},{},{}\n", number_of(source.a.numbers, source.pairs[i].from),
                        number_of(source.b.numbers, source.pairs[i].to), fmt::join(cells, ","));
  }
  return text;
}

std::string to_json(const comparison& source) {
  auto pairs = ordered_json::array();
  const auto names = source.values.columns();
  for (std::size_t i = 0; i < source.pairs.size(); ++i) {
    ordered_json pair{{"a_layer", number_of(source.a.numbers, source.pairs[i].from)},
                      {"b_layer", number_of(source.b.numbers, source.pairs[i].to)}};
    for (std::size_t k = 0; k < names.size(); ++k) pair[names[k]] = report::json_of(source.values.row(i)[k]);
    pairs.push_back(std::move(pair));
  }
  const ordered_json document{
      {"a", dump_json(source.a)}, {"b", dump_json(source.b)}, {"tokens", source.tokens}, {"pairs", std::move(pairs)}};
  return document.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

void write_plot(const comparison& source, const std::string& path) {
  std::vector<report::heat_map> maps;
  for (const auto& [metric, place] : first_columns(source)) {
    Eigen::MatrixXd values = Eigen::MatrixXd::Constant(std::ssize(source.a.numbers), std::ssize(source.b.numbers),
                                                       std::numeric_limits<double>::quiet_NaN());
    for (std::size_t i = 0; i < source.pairs.size(); ++i)
      if (const auto* value = std::get_if<double>(&source.values.row(i)[place]))
        values(source.pairs[i].from, source.pairs[i].to) = *value;
    maps.push_back({std::string(metric->name),
                    std::move(values),
                    source.a.numbers,
                    source.b.numbers,
                    "layer of A",
                    "layer of B",
                    {},
                    {}});
  }
  write_heat_maps(maps, {"A: " + source.a.title, fmt::format("B: {}, {} tokens", source.b.title, source.tokens)}, path,
                  "--plot");
}

}  // namespace examples::layerwise_compare
