#pragma once

#include "dumps/layer_stack.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace examples::dumps {

/// Layers in their order.
struct ordered_layers {
  std::vector<std::size_t> order;
  std::vector<index> numbers;  // empty: from 0 on
  std::vector<std::size_t> left_out;
  std::string because;
};

/// As the options say, else by what the names mean. `of_files`: the names are those of files, not of tensors in one.
/// Throws input_error, about the file `path`, where they say no order.
ordered_layers order_layers(const std::string& path, const std::vector<std::string>& names, bool of_files,
                            const stack_options& options);

}  // namespace examples::dumps
