// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/solve/detail/regression.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <utility>

namespace layerwise::inline LAYERWISE_ABI::detail {

/// mean y - mean x * weight * 2^power for column c of Y; nothing overflows or vanishes but the result.
inline double bias_of(const pair_moments& m, const double* weight, int power, index c) {
  Eigen::VectorXd x = m.x_mean, w = Eigen::VectorXd::Map(weight, x.size());
  power += rescale_row(x.data(), x.size(), {.operand = "X"});
  power += rescale_row(w.data(), w.size(), {.operand = "weight"});
  const double sum = dot(x.data(), w.data(), x.size()), mean = m.y_mean[c];
  if (sum == 0.0) return mean;
  const int unit = mean == 0.0 ? power : (std::max)(power, std::ilogb(mean));
  return std::scalbn(std::scalbn(mean, -unit) - std::scalbn(sum, power - unit), unit);
}

/// A regression in the data's own units: the weight and the bias of y on x.
inline std::pair<matrix, Eigen::RowVectorXd> affine_map_of(const pair_moments& m, const regression& fit) {
  matrix weight = fit.solution.coefficients();
  Eigen::RowVectorXd bias = Eigen::RowVectorXd::Zero(m.y_dimensions());
  const int power = exponent_of_ratio(m.x.scale, m.target_stats().scale);
  const bool has_bias = m.centering == centering::columns, is_of_update = m.target == regression_target::update;
  for (index c = 0; c < weight.cols(); ++c) {
    if (has_bias && !is_of_update) bias[c] = bias_of(m, column(weight, c), power, c);
    if (power != 0)
      for (index k = 0; k < weight.rows(); ++k) weight(k, c) = std::scalbn(weight(k, c), power);
    if (is_of_update) weight(c, c) += 1.0;
    for (index k = 0; k < weight.rows(); ++k)
      if (!std::isfinite(weight(k, c)))
        fail<non_finite_error>("a weight within the range of double", text(weight(k, c)),
                               {.operand = "weight", .row = k, .column = c});
    if (has_bias && is_of_update) bias[c] = bias_of(m, column(weight, c), 0, c);
    if (!std::isfinite(bias[c]))
      fail<non_finite_error>("a bias within the range of double", text(bias[c]), {.operand = "bias", .column = c});
  }
  return {std::move(weight), std::move(bias)};
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
