#pragma once

#include "report/values.hpp"
#include "report/words.hpp"

#include <layerwise/core.hpp>

#include <nlohmann/json.hpp>

#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>

/// @file
/// Results of the library as JSON objects of their fields, and back: results inside results nested, null for an empty
/// optional, the word of an enumerator. A double becomes the shortest text that reads back as the same double.
namespace examples::report {

nlohmann::ordered_json json_of(const field_value& value);

template <class T>
nlohmann::ordered_json json_of(const std::optional<T>& value);

template <class T>
nlohmann::ordered_json json_of(const T& value) {
  if constexpr (layerwise::has_fields<T>) {
    auto object = nlohmann::ordered_json::object();
    layerwise::for_each_field<T>(
        [&](const auto& field) { object[std::string(field.name)] = json_of(value.*field.member); });
    return object;
  } else if constexpr (std::is_enum_v<T>) {
    return text_of(value);
  } else {
    return value;
  }
}

template <class T>
nlohmann::ordered_json json_of(const std::optional<T>& value) {
  return value ? json_of(*value) : nlohmann::ordered_json(nullptr);
}

/// Sets `value` to what json_of has written. Throws nlohmann::json::exception or std::invalid_argument for anything else.
template <class T>
void read_json(const nlohmann::json& json, std::optional<T>& value);

template <class T>
void read_json(const nlohmann::json& json, T& value) {
  if constexpr (layerwise::has_fields<T>) {
    layerwise::for_each_field<T>(
        [&](const auto& field) { read_json(json.at(std::string(field.name)), value.*field.member); });
  } else if constexpr (std::is_enum_v<T>) {
    const auto word = json.template get<std::string>();
    const auto found = enumerator_of<T>(word);
    if (!found) throw std::invalid_argument("the unknown word " + word);
    value = *found;
  } else {
    json.get_to(value);
  }
}

template <class T>
void read_json(const nlohmann::json& json, std::optional<T>& value) {
  value.reset();
  if (!json.is_null()) read_json(json, value.emplace());
}

}  // namespace examples::report
