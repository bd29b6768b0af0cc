#pragma once

#include <layerwise/profile.hpp>

#include <optional>
#include <string>

namespace examples::measurement {

/// What to tell the user when there are too few tokens for the linearity scores to mean what they seem to;
/// nothing from 16 tokens a dimension on.
std::optional<std::string> sample_size_advice(const layerwise::layer_profile& profile);

}  // namespace examples::measurement
