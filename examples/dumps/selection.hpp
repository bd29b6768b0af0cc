#pragma once

#include "dumps/layer_stack.hpp"

#include <string>
#include <vector>

namespace examples::dumps {

/// The tensors of one file that hold its hidden states.
struct selection {
  std::vector<const tensor*>
      items;  // one, or one a layer of one shape and type, in the order of their bytes, or as asked
  std::vector<std::string> left_out;  // names of other tensors of floating point that might have been meant
};

/// As --tensors or --tensor asks, else: the one of four or three dimensions; those of three dimensions, or the matrices,
/// of one shape whose names are those of layers. Throws input_error where there is none, or a choice.
selection select_states(const tensor_file& file, const stack_options& options);

}  // namespace examples::dumps
