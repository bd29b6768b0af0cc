#include "measurement/sample_size.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace examples::measurement {

std::optional<std::string> sample_size_advice(const layerwise::layer_profile& profile) {
  const auto n = profile.tokens, d = profile.dimensions;
  double floor = 0;
  bool underdetermined = false, scored = false;
  for (const auto& layer : profile.layers)
    for (const auto& result : {layer.linearity, layer.residual_linearity})
      if (result) {
        scored = true;
        floor = std::max(floor, result->chance_floor);
        underdetermined = underdetermined || result->underdetermined;
      }

  if (!scored) return std::nullopt;
  if (underdetermined)
    return fmt::format(
        "warning: {} tokens are too few for {} dimensions: any two matrices of this size fit each other, "
        "so linearity scores are 1 by construction (marked !) and mean nothing; use at least {} tokens, "
        "better {}",
        n, d, 4 * d, 16 * d);
  if (n < 4 * d)
    return fmt::format(
        "warning: {} tokens are few for {} dimensions: unrelated data would score up to {:.2f} (the chance "
        "floor), so read the adjusted scores; use at least {} tokens, better {}",
        n, d, floor, 4 * d, 16 * d);
  if (n < 16 * d)
    return fmt::format(
        "note: {} tokens for {} dimensions put the chance floor at {:.2f}; {} tokens or more bring it "
        "down to 0.06",
        n, d, floor, 16 * d);
  return std::nullopt;
}

}  // namespace examples::measurement
