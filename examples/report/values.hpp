#pragma once

#include <layerwise/profile.hpp>

#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// @file
/// The numbers of a layer by name: the fields of layerwise::layer_metrics, those of results inside it as
/// "linearity_score".
namespace examples::report {

/// A field's value: nothing where it is undefined, an enumerator as its word.
using field_value = std::variant<std::monostate, double, layerwise::index, bool, std::string_view>;

struct named_value {
  std::string name;
  field_value value;
};

/// All of a layer, in the order of reports; without a layer the names alone.
std::vector<named_value> values_of(const layerwise::layer_metrics* layer);

/// The value of that name. Where there is none but of several parts (chance_floor: linearity_chance_floor and
/// residual_linearity_chance_floor), the largest of theirs. Nothing for other names.
field_value find_value(const std::vector<named_value>& values, std::string_view name);

/// The shortest text that reads back as the same value; empty for nothing.
std::string text_of(const field_value& content);

}  // namespace examples::report
