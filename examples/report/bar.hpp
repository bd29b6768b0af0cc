#pragma once

#include <string>

namespace examples::report {

/// A horizontal bar of `width` terminal columns, filled to `share` in [0, 1] in steps of an eighth of a
/// column.
std::string bar(double share, int width);

}  // namespace examples::report
