#include "report/words.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace examples::report {
namespace {

using layerwise::centering;
using layerwise::final_norm;
using layerwise::solver;

template <class Enum>
using word = std::pair<Enum, std::string_view>;

template <class Enum>
constexpr std::array<word<Enum>, 0> words{};
template <>
constexpr std::array words<final_norm>{word<final_norm>{final_norm::unspecified, "unspecified"},
                                       word<final_norm>{final_norm::before, "before"},
                                       word<final_norm>{final_norm::after, "after"}};
template <>
constexpr std::array words<centering>{word<centering>{centering::columns, "columns"},
                                      word<centering>{centering::none, "none"}};
template <>
constexpr std::array words<solver>{
    word<solver>{solver::automatic, "automatic"}, word<solver>{solver::cholesky, "cholesky"},
    word<solver>{solver::orthogonal, "orthogonal"}, word<solver>{solver::rank_revealing, "rank_revealing"}};

template <class Enum>
std::string_view word_of(Enum value) {
  const auto found = std::ranges::find(words<Enum>, value, &word<Enum>::first);
  return found == words<Enum>.end() ? "unknown" : found->second;
}

}  // namespace

std::string_view text_of(final_norm label) { return word_of(label); }
std::string_view text_of(centering choice) { return word_of(choice); }
std::string_view text_of(solver method) { return word_of(method); }

template <class Enum>
requires std::is_enum_v<Enum>
std::optional<Enum> enumerator_of(std::string_view text) {
  const auto found = std::ranges::find(words<Enum>, text, &word<Enum>::second);
  return found == words<Enum>.end() ? std::nullopt : std::optional(found->first);
}
template std::optional<final_norm> enumerator_of(std::string_view);
template std::optional<centering> enumerator_of(std::string_view);
template std::optional<solver> enumerator_of(std::string_view);

}  // namespace examples::report
