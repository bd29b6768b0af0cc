#pragma once

#include <layerwise/profile.hpp>

#include <optional>
#include <string_view>
#include <type_traits>

/// @file
/// Enumerators as words, in reports and back.
namespace examples::report {

std::string_view text_of(layerwise::final_norm label);  // unspecified, before, after
std::string_view text_of(layerwise::centering choice);  // columns, none
std::string_view text_of(layerwise::solver method);     // as the enumerator is called

/// The enumerator of that word; nothing for other words.
template <class Enum>
requires std::is_enum_v<Enum>
std::optional<Enum> enumerator_of(std::string_view word);

}  // namespace examples::report
