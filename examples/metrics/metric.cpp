#include "metrics/metric.hpp"

#include "common/input_error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

namespace examples::metrics {

std::vector<const metric*> metrics_named(std::span<const metric* const> known, const std::vector<std::string>& names) {
  std::vector<bool> wanted(known.size(), false);
  for (const auto& name : names) {
    bool found = false;
    for (std::size_t i = 0; i < known.size(); ++i)
      if (name == "all" || name == known[i]->name || (!name.empty() && name == known[i]->alias))
        found = wanted[i] = true;
    if (found) continue;
    std::vector<std::string_view> list;
    for (const auto* each : known) list.push_back(each->name);
    throw std::invalid_argument(
        fmt::format("expected all, or names of metrics ({}), got {}", fmt::join(list, ", "), in_quotes(name)));
  }
  std::vector<const metric*> chosen;
  for (std::size_t i = 0; i < known.size(); ++i)
    if (wanted[i]) chosen.push_back(known[i]);
  return chosen;
}

std::string help_of(std::span<const metric* const> known) {
  std::string text;
  for (const auto* each : known) {
    const auto alias = each->alias.empty() ? "" : fmt::format(" ({})", each->alias);
    text += fmt::format("  {:<28}{}{}; {}\n", each->name, each->what, alias, each->cost);
  }
  return text;
}

}  // namespace examples::metrics
