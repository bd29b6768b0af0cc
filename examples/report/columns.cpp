#include "report/columns.hpp"

#include "common/input_error.hpp"
#include "report/values.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

namespace examples::report {
namespace {

constexpr auto layer_number = "layer";

/// Of a field that has no line of its own below.
column plain_column(const std::string& name) {
  return {name, {"", name}, std::max(static_cast<int>(name.size()), 10), ink::plain, "{:.6g}"};
}

}  // namespace

const std::vector<column>& default_columns() {
  static const std::vector<column> columns{
      // a line each, wherever the field comes from
      {"layer", {"", "layer"}, 5, ink::plain, "{}"},
      {"linearity_score", {"linearity with", "the residual "}, 16, ink::with_residual, with_bar},
      {"linearity_adjusted_score", {"", "adjusted"}, 8, ink::with_residual, "{:.4f}"},
      {"residual_linearity_score", {"without the", "residual "}, 16, ink::without_residual, with_bar},
      {"residual_linearity_adjusted_score", {"", "adjusted"}, 8, ink::without_residual, "{:.4f}"},
      {"chance_floor", {"chance", "floor"}, 6, ink::faint, "{:.3f}"},
      {"error_bound", {"error", "bound"}, 6, ink::faint, "{:.0e}"},
      {"displacement", {"displace-", "ment"}, 9, ink::plain, "{:.5f}"},
      {"jump_rate", {"jump", "rate %"}, 7, ink::plain, "{:.3f}"},
      {"angular_distance", {"angular", "distance"}, 8, ink::plain, "{:.4f}"},
      {"contribution_ratio", {"contri-", "bution"}, 7, ink::plain, "{:.4f}"},
      {"outlier_share", {"largest", "dim. %"}, 7, ink::plain, "{:.2f}", 100},
      {"outlier_dimension", {"", "its no."}, 7, ink::faint, "{}"},
  };
  return columns;
}

column added_column(const std::string& name) {
  auto cut = std::string::npos;  // after an underscore, so that the longer part is as short as may be
  const auto longer = [&](std::size_t at) { return std::max(at, name.size() - at); };
  for (std::size_t at = 1; at < name.size(); ++at)
    if (name[at - 1] == '_' && (cut == std::string::npos || longer(at) < longer(cut))) cut = at;
  const bool is_short = name.size() <= 10 || cut == std::string::npos;
  const auto upper = is_short ? "" : name.substr(0, cut), lower = is_short ? name : name.substr(cut);
  const auto width = std::max({upper.size(), lower.size(), std::size_t{9}});
  return {name, {upper, lower}, static_cast<int>(width), ink::plain, "{:.5g}"};
}

std::vector<std::string> column_names(const std::vector<std::string>& added) {
  std::vector<std::string> names{layer_number};
  for (const auto& each : values_of(nullptr)) names.push_back(each.name);
  for (const auto& each : default_columns())
    if (std::ranges::find(names, each.field) == names.end()) names.push_back(each.field);
  names.insert(names.end(), added.begin(), added.end());
  return names;
}

std::vector<column> columns_named(const std::vector<std::string>& names, const std::vector<std::string>& added) {
  const auto known = column_names(added);
  const auto& styled = default_columns();
  std::vector<column> columns{styled.front()};
  for (const auto& name : names) {
    if (name == layer_number) continue;
    if (std::ranges::find(known, name) == known.end())
      throw std::invalid_argument(
          fmt::format("expected names of columns ({}), got {}", fmt::join(known, ", "), in_quotes(name)));
    const auto found = std::ranges::find(styled, name, &column::field);
    const bool is_added = std::ranges::find(added, name) != added.end();
    columns.push_back(found != styled.end() ? *found : is_added ? added_column(name) : plain_column(name));
  }
  return columns;
}

}  // namespace examples::report
