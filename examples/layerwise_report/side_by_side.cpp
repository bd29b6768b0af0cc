#include "side_by_side.hpp"

#include "common/input_error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdint>
#include <map>
#include <set>
#include <stdexcept>

namespace examples::layerwise_report {
namespace {

using json = nlohmann::ordered_json;
using layer_row = std::map<std::string, json>;  // linearity.score is linearity_score, as in CSV

layer_row row_of(const json& layer) {
  layer_row row;
  for (const auto& [name, value] : layer.items())
    if (value.is_object())
      for (const auto& [part, content] : value.items()) row[name + "_" + part] = content;
    else
      row[name] = value;
  return row;
}

using rows_by_layer = std::map<std::int64_t, layer_row>;

rows_by_layer rows_of(const json& profile) {
  rows_by_layer rows;
  for (const auto& layer : profile["layers"]) rows[layer["layer"].get<std::int64_t>()] = row_of(layer);
  return rows;
}

std::string cell_of(const rows_by_layer& rows, std::int64_t layer, const std::string& column) {
  const auto row = rows.find(layer);
  if (row == rows.end() || !row->second.contains(column)) return "-";
  const auto& value = row->second.at(column);
  if (value.is_number_float()) return fmt::format("{:.5g}", value.get<double>());
  if (value.is_string()) return printable(value.get<std::string>());
  return value.is_null() ? "-" : value.dump();
}

/// "A", "B" ... stand for the profiles above the columns.
std::string letter_of(std::size_t profile) { return std::string(1, static_cast<char>('A' + profile)); }

/// The columns to show: those that were chosen, else those of the default ones that are there.
std::vector<std::string> columns_of(const std::vector<rows_by_layer>& runs, const std::vector<std::string>& chosen) {
  std::set<std::string> known;
  for (const auto& rows : runs)
    for (const auto& [layer, row] : rows)
      for (const auto& [name, value] : row) known.insert(name);
  std::vector<std::string> columns = chosen;
  if (chosen.empty())
    for (const auto* name : {"linearity_score", "residual_linearity_score", "displacement"})
      if (known.contains(name)) columns.emplace_back(name);
  for (const auto& column : columns)
    if (!known.contains(column))
      throw std::invalid_argument(
          fmt::format("expected names of columns ({}), got {}", fmt::join(known, ", "), in_quotes(column)));
  return columns;
}

}  // namespace

std::string side_by_side(const std::vector<json>& profiles, const std::vector<std::string>& chosen) {
  std::vector<rows_by_layer> runs;
  std::set<std::int64_t> layers;
  std::string text;
  for (const auto& profile : profiles) {
    runs.push_back(rows_of(profile));
    for (const auto& [layer, row] : runs.back()) layers.insert(layer);
    text += printable(fmt::format("{}  {}: {} tokens, {} dimensions, {}", letter_of(runs.size() - 1),
                                  profile["title"].get<std::string>(), profile["tokens"].get<std::int64_t>(),
                                  profile["dimensions"].get<std::int64_t>(), profile["dtype"].get<std::string>())) +
            "\n";
  }
  for (const auto& column : columns_of(runs, chosen)) {
    text += fmt::format("\n{}\n{:>7}", column, "layer");
    for (std::size_t i = 0; i < runs.size(); ++i) text += fmt::format("{:>14}", letter_of(i));
    for (const auto layer : layers) {
      text += fmt::format("\n{:>7}", layer);
      for (const auto& rows : runs) text += fmt::format("{:>14}", cell_of(rows, layer, column));
    }
    text += "\n";
  }
  return text;
}

}  // namespace examples::layerwise_report
