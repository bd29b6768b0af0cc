// The metrics of pairs, a line each.
#include "laws/pair_metric_laws.hpp"

#include <layerwise/metrics/linearity.hpp>

namespace {

using namespace layerwise_test;
using layerwise::cross_moments;
using layerwise::token_mask;

struct linearity {
  auto operator()(const auto& x, const auto& y, const token_mask& mask = {}) const {
    return layerwise::linearity(x, y, {}, mask);
  }
  auto operator()(const cross_moments& moments) const { return layerwise::linearity(moments); }
};

struct residual_linearity {
  auto operator()(const auto& x, const auto& y, const token_mask& mask = {}) const {
    return layerwise::residual_linearity(x, y, {}, mask);
  }
  auto operator()(const cross_moments& moments) const { return layerwise::residual_linearity(moments); }
};

TEST_CASE("linearity: what changes it and what does not") {
  check_pair_metric(linearity(),
                    {.rotation_x = true, .rotation_y = true, .scale = true, .shift = true, .linear_x = true});
}

TEST_CASE("residual linearity: what changes it and what does not") {
  check_pair_metric(residual_linearity(), {.shift = true, .any_dimensions = false});
}

}  // namespace
