// What every function of a layer's update refuses: states of another shape, empty ones, and what is not finite.
#pragma once

#include "support.hpp"

#include <layerwise/core/error.hpp>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <random>
#include <string>

namespace layerwise_test {

/// each(x, y, check) calls check with every call on x and y that is to be refused.
template <class Each>
void check_update_refusals(const row_major& good, const Each& each) {
  each(good, Eigen::MatrixXf(Eigen::MatrixXf::Ones(4, 4)),
       [](const auto& call) { check_throws<layerwise::shape_error>(call, "a matrix of 4 x 3", "4 x 4", "after"); });
  each(Eigen::MatrixXf(0, 0), Eigen::MatrixXf(0, 0), [](const auto& call) {
    check_throws<layerwise::degenerate_input_error>(call, "a matrix with rows and columns", "0 x 0", "before");
  });
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    row_major broken = good;
    broken(3, 1) = bad;
    const std::string got = std::isnan(bad) ? "nan" : "inf";
    each(good, broken.cast<Eigen::bfloat16>(), [&](const auto& call) {
      check_throws<layerwise::non_finite_error>(call, "finite values", got, "after, row 3, column 1");
    });
    each(broken, good, [&](const auto& call) {
      check_throws<layerwise::non_finite_error>(call, "finite values", got, "before, row 3, column 1");
    });
    // Infinity minus infinity is no update of anything.
    each(broken, broken, [&](const auto& call) {
      check_throws<layerwise::non_finite_error>(call, "finite values", got, "before, row 3, column 1");
    });
  }
}

}  // namespace layerwise_test
