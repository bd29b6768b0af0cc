#include "report.hpp"

#include <fmt/format.h>

namespace layerwise_profile {

std::string_view text_of(layerwise::final_norm label) {
  switch (label) {
    case layerwise::final_norm::before:
      return "before";
    case layerwise::final_norm::after:
      return "after";
    default:
      return "unspecified";
  }
}

std::string_view text_of(layerwise::centering choice) {
  return choice == layerwise::centering::columns ? "columns" : "none";
}

std::string_view text_of(layerwise::solver method) {
  switch (method) {
    case layerwise::solver::cholesky:
      return "cholesky";
    case layerwise::solver::orthogonal:
      return "orthogonal";
    case layerwise::solver::rank_revealing:
      return "rank_revealing";
    default:
      return "automatic";
  }
}

std::string summary(const report& source) {
  const auto& profile = source.profile;
  const auto norm = profile.final_norm == layerwise::final_norm::unspecified
                        ? std::string("final norm not stated")
                        : fmt::format("last state {} the final norm", text_of(profile.final_norm));
  return fmt::format("{} layers, {} tokens, {} dimensions, {}, {}, {}", profile.layers.size(), profile.tokens,
                     profile.dimensions, name_of(source.dtype), norm,
                     profile.centering == layerwise::centering::columns ? "columns centred" : "not centred");
}

}  // namespace layerwise_profile
