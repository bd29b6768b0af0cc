#pragma once

#include "report/words.hpp"

#include <layerwise/core.hpp>
#include <layerwise/data/epsilon_position.hpp>
#include <layerwise/metrics/intrinsic_dimension.hpp>
#include <layerwise/training/penalty.hpp>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// @file
/// Enumerators as words: those of reports, and the others.
namespace python_module {

template <class Enum>
using word = std::pair<Enum, std::string_view>;

template <class Enum>
inline constexpr std::array<word<Enum>, 0> words{};
template <>
inline constexpr std::array words<layerwise::reduction>{word<layerwise::reduction>{layerwise::reduction::mean, "mean"},
                                                        word<layerwise::reduction>{layerwise::reduction::sum, "sum"}};
template <>
inline constexpr std::array words<layerwise::stop_gradient>{
    word<layerwise::stop_gradient>{layerwise::stop_gradient::none, "none"},
    word<layerwise::stop_gradient>{layerwise::stop_gradient::before, "before"},
    word<layerwise::stop_gradient>{layerwise::stop_gradient::after, "after"}};
template <>
inline constexpr std::array words<layerwise::twonn_fit>{
    word<layerwise::twonn_fit>{layerwise::twonn_fit::least_squares, "least_squares"},
    word<layerwise::twonn_fit>{layerwise::twonn_fit::maximum_likelihood, "maximum_likelihood"}};
template <>
inline constexpr std::array words<layerwise::epsilon_position>{
    word<layerwise::epsilon_position>{layerwise::epsilon_position::inside_root, "inside_root"},
    word<layerwise::epsilon_position>{layerwise::epsilon_position::outside_root, "outside_root"}};

template <class Enum>
std::string text_of(Enum value) {
  if constexpr (words<Enum>.empty()) {
    return std::string(examples::report::text_of(value));
  } else {
    for (const auto& [enumerator, text] : words<Enum>)
      if (enumerator == value) return std::string(text);
    return "unknown";
  }
}

template <class Enum>
std::optional<Enum> find_enumerator(std::string_view text) {
  if constexpr (words<Enum>.empty()) {
    return examples::report::enumerator_of<Enum>(text);
  } else {
    for (const auto& [enumerator, known] : words<Enum>)
      if (known == text) return enumerator;
    return std::nullopt;
  }
}

/// The enumerator of a word. OptionError, which lists the words, for another one.
template <class Enum>
Enum enumerator_of(std::string_view text, std::string_view option) {
  if (const auto found = find_enumerator<Enum>(text)) return *found;
  std::string known;
  for (int value = 0; find_enumerator<Enum>(text_of(static_cast<Enum>(value))); ++value)
    known += (known.empty() ? "" : ", ") + text_of(static_cast<Enum>(value));
  layerwise::detail::fail<layerwise::option_error>("one of " + known, std::string(text), {.operand = option});
}

}  // namespace python_module
