#pragma once

#include "dumps/layer_stack.hpp"
#include "report/report.hpp"

namespace examples::layerwise_profile {

/// The report of a stack that nothing was measured of yet.
report::described_profile describe_input(const dumps::layer_stack& stack);

}  // namespace examples::layerwise_profile
