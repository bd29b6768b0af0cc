#pragma once

#include "dumps/axes.hpp"
#include "dumps/companions.hpp"
#include "dumps/layer_stack.hpp"
#include "dumps/tensor_file.hpp"

#include <span>
#include <string>
#include <vector>

namespace examples::dumps {

/// What one file holds.
struct file_part {
  const tensor_file* file;
  std::vector<const tensor*> items;  // one stack, or one tensor a layer
  std::vector<std::string> left_out;
  companions beside;
  axis_reading axes;  // of each item
};

std::vector<std::string> item_names(const file_part& part);
bool holds_one(const file_part& part);
bool is_stack(const file_part& part);

/// The states of each file, and what stands beside them, in it or in files of its folder; their axes are not yet told.
/// Throws input_error for files that are not alike.
std::vector<file_part> parts_of(std::span<const tensor_file> files, const stack_options& options);

}  // namespace examples::dumps
