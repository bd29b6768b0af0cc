#include <layerwise/core/fields.hpp>

#include "support.hpp"

#include <layerwise/metrics/linearity.hpp>
#include <layerwise/profile/layer_metrics.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using layerwise::fields;
using layerwise::for_each_field;
using layerwise::has_fields;
using layerwise::index;
using layerwise::layer_metrics;
using layerwise::linearity_result;
using layerwise::visit_values;

enum class kind { plain, odd };

struct inner {
  double value = 0.0;
  kind how = kind::plain;
};

struct outer {
  inner always;
  std::optional<inner> sometimes;
  std::optional<index> which;
  bool flag = false;
};

}  // namespace

template <>
inline constexpr auto layerwise::fields<inner> = layerwise::field_list(
    layerwise::field{"value", &inner::value, "a number"}, layerwise::field{"how", &inner::how, "a kind"});

template <>
inline constexpr auto layerwise::fields<outer> = layerwise::field_list(
    layerwise::field{"flag", &outer::flag, "a flag"}, layerwise::field{"always", &outer::always, "a result"},
    layerwise::field{"sometimes", &outer::sometimes, "a result, or none"},
    layerwise::field{"which", &outer::which, "an index, or none"});

namespace {

static_assert(has_fields<inner> && has_fields<const outer&>);
static_assert(!has_fields<double> && !has_fields<std::optional<inner>>);

/// What a member of any type can be initialized with.
struct anything {
  template <class T>
  operator T() const {
    return T();
  }
};
template <std::size_t>
using one = anything;

/// The number of members of an aggregate: the most with which it can be initialized.
template <class Struct, std::size_t... i>
constexpr std::size_t members(std::index_sequence<i...>) {
  if constexpr (requires { Struct{one<i>()..., anything()}; })
    return members<Struct>(std::make_index_sequence<sizeof...(i) + 1>());
  else
    return sizeof...(i);
}
template <class Struct>
constexpr std::size_t member_count = members<Struct>(std::index_sequence<>());

static_assert(member_count<inner> == 2 && member_count<outer> == 4);

/// Every member is in the list: as many fields as members, of different members.
template <class Struct>
void check_complete() {
  constexpr std::size_t count = [] {
    std::size_t fields = 0;
    for_each_field<Struct>([&](const auto&) { ++fields; });
    return fields;
  }();
  static_assert(count == member_count<Struct>, "a member has no field: add it to the list beside the struct");
  const Struct result{};
  std::set<const void*> seen;
  for_each_field<Struct>([&](const auto& f) { seen.insert(&(result.*f.member)); });
  CHECK(seen.size() == member_count<Struct>);
}

template <class Struct>
std::vector<std::string> names(const Struct* result) {
  std::vector<std::string> all;
  visit_values(result, [&](const std::string& name, const auto*, std::string_view) { all.push_back(name); });
  return all;
}

TEST_CASE("every member of every result is a field") {
  check_complete<linearity_result>();
  check_complete<layer_metrics>();
}

TEST_CASE("names and descriptions are there, and no name is there twice") {
  for (const auto& all : {names<linearity_result>(nullptr), names<layer_metrics>(nullptr)}) {
    CHECK(std::set<std::string>(all.begin(), all.end()).size() == all.size());
    for (const std::string& name : all) {
      CAPTURE(name);
      CHECK(!name.empty());
      // An identifier in any language, and a column's heading in any file.
      CHECK(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos);
    }
  }
  visit_values<layer_metrics>(nullptr, [](const std::string& name, const auto*, std::string_view description) {
    CAPTURE(name);
    CHECK(!description.empty());
  });
}

TEST_CASE("fields come in the order of the list, those of a result inside it under its name") {
  std::vector<std::string_view> own;
  for_each_field<outer>([&](const auto& f) { own.push_back(f.name); });
  CHECK(own == std::vector<std::string_view>{"flag", "always", "sometimes", "which"});
  CHECK(names<outer>(nullptr) ==
        std::vector<std::string>{"flag", "always_value", "always_how", "sometimes_value", "sometimes_how", "which"});
}

TEST_CASE("what is empty has names, too, and null for a value") {
  const auto found = [](const outer* result) {
    std::vector<bool> there;
    visit_values(result, [&](const std::string&, const auto* value, std::string_view) {
      static_assert(!std::is_same_v<decltype(value), const std::optional<index>*>);
      there.push_back(value != nullptr);
    });
    return there;
  };
  outer result;
  CHECK(found(nullptr) == std::vector<bool>(6, false));
  CHECK(found(&result) == std::vector<bool>{true, true, true, false, false, false});
  result.sometimes.emplace();
  result.which = 0;
  CHECK(found(&result) == std::vector<bool>(6, true));
  CHECK(names(&result) == names<outer>(nullptr));
}

TEST_CASE("values are the members themselves, of their own types") {
  outer result;
  result.sometimes = inner{2.5, kind::odd};
  result.which = 7;
  std::vector<double> numbers;
  std::vector<index> indices;
  std::vector<kind> kinds;
  std::vector<const bool*> flags;
  visit_values(&result, [&](const std::string&, const auto* value, std::string_view) {
    using type = std::remove_const_t<std::remove_pointer_t<decltype(value)>>;
    if constexpr (std::is_same_v<type, double>)
      numbers.push_back(*value);
    else if constexpr (std::is_same_v<type, index>)
      indices.push_back(*value);
    else if constexpr (std::is_same_v<type, kind>)
      kinds.push_back(*value);
    else
      flags.push_back(value);
  });
  CHECK(numbers == std::vector<double>{0.0, 2.5});
  CHECK(indices == std::vector<index>{7});
  CHECK(kinds == std::vector<kind>{kind::plain, kind::odd});
  CHECK(flags == std::vector<const bool*>{&result.flag});
}

}  // namespace
