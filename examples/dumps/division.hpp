#pragma once

#include "dumps/file_part.hpp"

#include <optional>
#include <string>
#include <vector>

namespace examples::dumps {

/// What names the layers of files that hold one each: their tensors, or, where these all have one name or none, the
/// files themselves.
std::vector<std::string> layer_names_of(const std::vector<file_part>& parts);

/// What the files are to each other.
struct division {
  bool layers;  // tensors are one layer each; else stacks of them
  bool shards;  // each file has all layers, of some tokens; else each has other layers
};

/// Tells the axes of all parts on the way. `asked` and `stated`: as in axes_of_stack. Throws input_error where it is
/// open.
division divide(std::vector<file_part>& parts, const std::optional<axis_order>& asked,
                const std::optional<axis_order>& stated);

}  // namespace examples::dumps
