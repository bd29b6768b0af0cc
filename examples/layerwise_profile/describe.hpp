#pragma once

#include "memory.hpp"

#include "dumps/layer_stack.hpp"
#include "report/report.hpp"

#include <string>

namespace examples::layerwise_profile {

/// The report of a stack that nothing was measured of yet.
report::described_profile describe_input(const dumps::layer_stack& stack);

/// What --dry-run prints: files, tensors in their order, axes, masks, sequences, memory.
std::string to_plan(const dumps::layer_stack& stack, const report::described_profile& source, const demands& wanted);

}  // namespace examples::layerwise_profile
