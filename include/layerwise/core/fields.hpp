// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/detail/config.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

/// @file
/// The members of results by name, for all that prints, stores, compares or binds them.
namespace layerwise::inline LAYERWISE_ABI {

/// A member of a result: its name, where it is, and what it is, for a reader of reports.
///
///     for_each_field<linearity_result>([&](const auto& f) { std::cout << f.name << ' ' << result.*f.member << '\n'; });
template <class Struct, class Member>
struct field {
  using type = Member;  ///< of the member

  std::string_view name;
  Member Struct::* member;
  std::string_view description;
};
template <class Struct, class Member>
field(std::string_view, Member Struct::*, std::string_view) -> field<Struct, Member>;  // clang 14 deduces no aggregates

/// A list of fields, which calls visit(field) for each. Not a std::tuple: those took an eighth of what including the
/// library does, where nobody looks at a field.
template <class... Field>
constexpr auto field_list(Field... field) {
  return [=](const auto& visit) { (visit(field), ...); };
}

/// What has none.
struct no_fields {};

/// The one list of a result's fields, a field_list() of them in the order of reports: every member is in it.
/// Specialized beside each result.
template <class Struct>
inline constexpr auto fields = no_fields();

/// A result, which has a list of fields.
template <class Struct>
concept has_fields = !std::is_same_v<decltype(fields<std::remove_cvref_t<Struct>>), const no_fields>;

/// Calls visit(field) for each field of Struct, in order.
template <has_fields Struct, class Visit>
constexpr void for_each_field(const Visit& visit) {
  fields<std::remove_cvref_t<Struct>>(visit);
}

namespace detail {

/// What a member holds, or null.
template <class T>
const T* value_in(const T* member) {
  return member;
}
template <class T>
const T* value_in(const std::optional<T>* member) {
  return member != nullptr && *member ? &**member : nullptr;
}

template <class Struct, class Visit>
void visit_values_in(const Struct* result, const std::string& prefix, const Visit& visit) {
  for_each_field<Struct>([&](const auto& f) {
    const auto* value = value_in(result == nullptr ? nullptr : &(result->*f.member));
    const std::string name = prefix + std::string(f.name);
    if constexpr (has_fields<std::remove_pointer_t<decltype(value)>>)
      visit_values_in(value, name + '_', visit);
    else
      visit(name, value, f.description);
  });
}

}  // namespace detail

/// Calls visit(name, value, description) for each number of a result, in the order of its fields; those of a result
/// inside it are named "linearity_score" and so on. `value` points to a const double, index, bool or enumerator, and is
/// null where an optional is empty: the names are the same for every result, so that those of a null one are the
/// headings of a table.
///
///     visit_values(&result, [&](const std::string& name, const auto* value, std::string_view description) { ... });
template <has_fields Struct, class Visit>
void visit_values(const Struct* result, const Visit& visit) {
  detail::visit_values_in(result, std::string(), visit);
}

}  // namespace layerwise::inline LAYERWISE_ABI
