#pragma once

#include "metric.hpp"

#include <layerwise/profile/profile_options.hpp>

#include <string>

namespace python_module {

/// Second moments of h_L, which a profile does not need, are left out.
inline layerwise::profile_options profile_options_of(const std::string& centering, const std::string& method,
                                                     double tolerance, const std::string& final_norm, bool linearity) {
  const auto options = linearity_options_of(centering, method, tolerance);
  return {.centering = options.centering,
          .method = options.method,
          .tolerance = options.tolerance,
          .final_norm = enumerator_of<layerwise::final_norm>(final_norm, "final_norm"),
          .linearity = linearity,
          .second_moments = layerwise::second_moments::input};
}

}  // namespace python_module
