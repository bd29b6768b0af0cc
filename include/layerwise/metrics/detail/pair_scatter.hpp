// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/bounded.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/cross_moments.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>
#include <layerwise/statistics/scatter.hpp>
#include <layerwise/statistics/second_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <string_view>

// What metrics of the three second moments of a pair begin with.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Throws option_error unless there is y^T y, too.
inline void require_both(const scatter& s, std::string_view metric) {
  if (s.yy.size() == 0)
    fail<option_error>("moments of both (see second_moments::both)", "moments of the input", {.operand = metric});
}

/// Throws option_error unless the moments are about the means.
inline void require_centred(const scatter& s, std::string_view metric) {
  if (s.centering != centering::columns)
    fail<option_error>("moments about the means", "centering::none", {.operand = metric});
}

/// The largest second moment. Throws degenerate_input_error for one that counts as 0.
inline double require_variance(const matrix& second, std::string_view name, centering center = centering::columns) {
  double peak = 0.0;
  for (index j = 0; j < second.cols(); ++j) peak = (std::max)(peak, second(j, j));
  const bool centred = center == centering::columns;
  if (!(peak > least_energy))
    fail<degenerate_input_error>(centred ? "rows that differ" : "an element other than 0",
                                 centred ? "no variance" : "only 0", {.operand = name});
  return peak;
}

/// The power of two that brings the largest second moment near 1, so that no square of one overflows; its root. Throws
/// as require_variance().
inline double root_scale(const matrix& second, std::string_view name, centering center = centering::columns) {
  return std::ldexp(1.0, -std::ilogb(require_variance(second, name, center)) / 2);
}

/// Moments of matrices for a metric that needs those of both. Throws as cross_moments::add.
template <embedding_matrix X, embedding_matrix Y>
cross_moments moments_of_both(const X& x, const Y& y, const token_mask& mask) {
  cross_moments moments(second_moments::both);
  moments.add(x, y, mask);
  return moments;
}

/// The root of the energy of a layer: ||factor X||_F.
struct layer_size {
  double factor = 1.0;  ///< a power of two, which brings it near 1
  bounded norm;         ///< of factor X
};

/// Of X's second moments, which are off by `error` in the sum of the diagonal. Throws degenerate_input_error for no
/// energy.
inline layer_size size_of(const matrix& second, double error, std::string_view name,
                          centering center = centering::columns) {
  const double factor = root_scale(second, name, center);
  double energy = 0.0;
  for (index j = 0; j < second.cols(); ++j) energy += factor * second(j, j) * factor;
  const double terms = static_cast<double>(second.cols()) + 4.0;
  // |sqrt a - sqrt b| <= |a - b| / sqrt a
  const double norm = std::sqrt(energy);
  return {factor, {norm, factor * error * factor / norm + terms * unit_roundoff * norm}};
}

/// How far f may be off at `value`, of an argument that is off by `error` and within [least, most]; f monotone.
template <class Function>
double error_of(const Function& f, double value, double error, double least, double most) {
  const double here = f(value), below = f((std::max)(least, value - error)), above = f((std::min)(most, value + error));
  return (std::max)(std::abs(below - here), std::abs(above - here));
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
