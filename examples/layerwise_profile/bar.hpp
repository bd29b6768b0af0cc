#pragma once

#include <string>

namespace layerwise_profile {

/// A horizontal bar of `width` terminal columns, filled to `share` in [0, 1] in steps of an eighth of a
/// column.
std::string bar(double share, int width);

}  // namespace layerwise_profile
