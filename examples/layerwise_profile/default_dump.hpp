#pragma once

#include <string>

namespace layerwise_profile {

/// The example dump that is profiled when no file is given: where it lay when the program was built, else
/// beside the program. Throws input_error when it is in neither place.
std::string default_dump();

}  // namespace layerwise_profile
