// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/detail/config.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

/// @file
/// The members of results by name, for all that prints, stores, compares or binds them.
namespace layerwise::inline LAYERWISE_ABI {

/// A member of a result: its name, where it is, and what it is, for a reader of reports.
template <class Struct, class Member>
struct field {
  using type = Member;  ///< of the member

  std::string_view name;
  Member Struct::*member;
  std::string_view description;
};

/// The one list of a result's fields, a std::tuple of them in the order of reports. Specialized beside each result.
template <class Struct>
inline constexpr auto fields = std::tuple<>();

/// A result, which has a list of fields.
template <class Struct>
concept has_fields = std::tuple_size_v<std::remove_cvref_t<decltype(fields<std::remove_cvref_t<Struct>>)>> > 0;

/// Calls visit(field) for each field of Struct, in order.
template <has_fields Struct, class Visit>
void for_each_field(const Visit& visit) {
  std::apply([&](const auto&... each) { (visit(each), ...); }, fields<Struct>);
}

namespace detail {

template <class T>
struct optional_of {
  using type = T;
  static const T* pointer(const T* value) { return value; }
};
template <class T>
struct optional_of<std::optional<T>> {
  using type = T;
  static const T* pointer(const std::optional<T>* value) {
    return value != nullptr && *value ? &**value : nullptr;
  }
};

template <class Struct, class Visit>
void visit_leaves(const std::string& prefix, const Struct* from, const Visit& visit) {
  for_each_field<Struct>([&](const auto& f) {
    using member = typename std::remove_cvref_t<decltype(f)>::type;
    using value = optional_of<member>;
    const typename value::type* found = value::pointer(from == nullptr ? nullptr : &(from->*f.member));
    const std::string name = prefix + std::string(f.name);
    if constexpr (has_fields<typename value::type>)
      visit_leaves(name + '_', found, visit);
    else
      visit(name, found, f.description);
  });
}

}  // namespace detail

/// Calls visit(name, value, description) for each number of a result, those of results inside it as
/// "linearity_score": value is a pointer to a double, index, bool or enumerator, null where an optional is empty. For
/// each name, in the same order, whatever is empty; of a null result all values are null, and the names are the
/// headings of a table.
template <has_fields Struct, class Visit>
void visit_values(const Struct* result, const Visit& visit) {
  detail::visit_leaves(std::string(), result, visit);
}

}  // namespace layerwise::inline LAYERWISE_ABI
