#pragma once

#include "dumps/layer_stack.hpp"

#include <string>
#include <string_view>

namespace examples::dumps {

/// What --dry-run prints of a dump: files, tensors in their order, axes, masks, sequences; a line each, or some.
std::string plan_of(const layer_stack& stack);

/// And of the memory: the bytes that are needed beside those there are, and the options that need less where these are
/// too few.
std::string memory_plan(double needed, std::string_view remedy);

}  // namespace examples::dumps
