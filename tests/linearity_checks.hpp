// Comparisons of linearity results, and runs with a given number of threads.
#pragma once

#include "identical.hpp"

#include <layerwise/metrics/linearity.hpp>
#include <layerwise/solve/linear_map.hpp>

#include <doctest/doctest.h>

namespace layerwise_test {

inline void check_identical(const layerwise::linear_map& a, const layerwise::linear_map& b) {
  const bool same_weight = a.weight == b.weight, same_bias = a.bias == b.bias;  // no need to print matrices
  CHECK(same_weight);
  CHECK(same_bias);
}

}  // namespace layerwise_test
