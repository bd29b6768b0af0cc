#include "report/report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace examples::report {

std::string to_csv(const described_profile& source) {
  std::vector<std::string> names{"layer"};
  for (const auto& field : values_of(nullptr)) names.push_back(field.name);
  names.insert(names.end(), source.added.names.begin(), source.added.names.end());
  auto text = fmt::format("{}\n", fmt::join(names, ","));
  for (const auto& row : rows_of(source)) {
    std::vector<std::string> cells;
    for (const auto& field : row) cells.push_back(text_of(field.value));
    text += fmt::format("{}\n", fmt::join(cells, ","));
  }
  return text;
}

}  // namespace examples::report
