#include "report/values.hpp"

#include "report/words.hpp"

#include <layerwise/core.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

namespace examples::report {

std::vector<named_value> values_of(const layerwise::layer_metrics* layer) {
  std::vector<named_value> values;
  layerwise::visit_values(layer, [&]<class T>(const std::string& name, const T* content, std::string_view) {
    field_value kept;
    if constexpr (std::is_enum_v<T>) {
      if (content != nullptr) kept = text_of(*content);
    } else {
      if (content != nullptr) kept = *content;
    }
    values.push_back({name, kept});
  });
  return values;
}

field_value find_value(const std::vector<named_value>& values, std::string_view name) {
  const auto found = std::ranges::find(values, name, &named_value::name);
  if (found != values.end()) return found->value;
  field_value largest;
  for (const auto& each : values)
    if (each.name.ends_with(fmt::format("_{}", name))) largest = std::max(largest, each.value);
  return largest;
}

std::string text_of(const field_value& content) {
  return std::visit(
      []<class T>(const T& held) {
        if constexpr (std::is_same_v<T, std::monostate>)
          return std::string();
        else
          return fmt::format("{}", held);
      },
      content);
}

}  // namespace examples::report
