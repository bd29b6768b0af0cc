#include "metrics/metric_values.hpp"

#include <layerwise/core.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <utility>

namespace examples::metrics {

metric_values::metric_values(std::vector<const metric*> chosen, std::size_t rows)
    : chosen_(std::move(chosen)), failed_(chosen_.size()) {
  std::size_t width = 0;
  for (const auto* each : chosen_) width += each->columns.size();
  rows_.assign(rows, std::vector<report::field_value>(width));
}

bool metric_values::any(const std::function<bool(const metric&)>& is_one) const {
  return std::ranges::any_of(chosen_, [&](const metric* each) { return is_one(*each); });
}

void metric_values::compute(std::size_t row, evidence& of, const std::function<bool(const metric&)>& is_one) {
  std::size_t column = 0;
  for (std::size_t i = 0; i < chosen_.size(); ++i) {
    const auto& each = *chosen_[i];
    const auto begin = std::exchange(column, column + each.columns.size());
    if (!is_one(each)) continue;
    try {
      std::ranges::copy(each.compute(of), rows_[row].begin() + static_cast<std::ptrdiff_t>(begin));
    } catch (const layerwise::error& error) {
      static std::mutex one_at_a_time;
      const std::lock_guard lock(one_at_a_time);
      auto& failed = failed_[i];
      if (failed.count++ == 0 || row < failed.first) failed.first = row, failed.why = error.what();
    }
  }
}

std::vector<std::string> metric_values::columns() const {
  std::vector<std::string> names;
  for (const auto* each : chosen_) names.insert(names.end(), each->columns.begin(), each->columns.end());
  return names;
}

std::vector<std::string> metric_values::shown() const {
  std::vector<std::string> names;
  for (const auto* each : chosen_)
    names.insert(names.end(), each->columns.begin(), each->columns.begin() + static_cast<std::ptrdiff_t>(each->shown));
  return names;
}

std::vector<std::string> metric_values::notes(const std::function<std::string(std::size_t)>& name_of) const {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < chosen_.size(); ++i)
    if (const auto& failed = failed_[i]; failed.count > 0)
      lines.push_back(fmt::format("{} has no value for {}{}: {}", chosen_[i]->name, name_of(failed.first),
                                  failed.count > 1 ? fmt::format(", and {} more", failed.count - 1) : "", failed.why));
  return lines;
}

}  // namespace examples::metrics
