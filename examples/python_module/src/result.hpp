#pragma once

#include "python.hpp"
#include "words.hpp"

#include <layerwise/core.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

/// @file
/// Results as Python objects, by the library's own lists of fields.
namespace python_module {

/// A keyword of Python is no name of a member there.
inline std::string member_name(std::string_view field) { return field == "lambda" ? "lambda_" : std::string(field); }

template <class T>
decltype(auto) python_value(const T& value) {
  if constexpr (std::is_enum_v<T>)
    return text_of(value);
  else
    return (value);
}

/// The members of a result, and those that are no single number, as a dict; results inside are dicts, too.
template <class T>
nb::object plain_value(const T& value);
template <class T>
nb::object plain_value(const std::optional<T>& value);
template <class T>
nb::object plain_value(const std::vector<T>& values);

template <class T, class... Extra>
nb::dict dict_of(const T& result, const Extra&... extra) {
  nb::dict out;
  const auto put = [&](const auto& field) {
    out[nb::str(field.name.data(), field.name.size())] = plain_value(result.*field.member);
  };
  layerwise::for_each_field<T>(put);
  (put(extra), ...);
  return out;
}

template <class T>
nb::object plain_value(const std::optional<T>& value) {
  return value ? plain_value(*value) : nb::none();
}

template <class T>
nb::object plain_value(const std::vector<T>& values) {
  nb::list out;
  for (const T& value : values) out.append(plain_value(value));
  return out;
}

template <class T>
nb::object plain_value(const T& value) {
  if constexpr (layerwise::has_fields<T>)
    return dict_of(value);
  else
    return nb::cast(python_value(value), nb::rv_policy::copy);  // arrays outlive the result
}

/// "LinearityResult(score=0.5, ...)"; arrays by their shapes.
std::string text_of_result(nb::handle self, const nb::dict& values);

/// The class of a result: its fields, those that are no single number, to_dict(), repr.
template <class T, class... Extra>
nb::class_<T> bind_result(nb::module_& m, const char* name, const char* doc, const Extra&... extra) {
  nb::class_<T> result(m, name, doc);
  const auto define = [&](const auto& field) {
    const std::string member = member_name(field.name), description(field.description);
    result.def_prop_ro(
        member.c_str(), [at = field.member](const T& self) { return python_value(self.*at); }, description.c_str());
  };
  layerwise::for_each_field<T>(define);
  (define(extra), ...);
  result.def("to_dict", [=](const T& self) { return dict_of(self, extra...); }, "All members by name.");
  result.def("__repr__",
             [=](nb::handle self) { return text_of_result(self, dict_of(nb::cast<const T&>(self), extra...)); });
  return result;
}

}  // namespace python_module
