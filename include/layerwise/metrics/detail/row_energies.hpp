// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/kernel/bounded.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/metrics/detail/pair_scatter.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>
#include <layerwise/statistics/scatter.hpp>

#include <Eigen/Core>

#include <cmath>
#include <string_view>
#include <utility>

// What metrics of n x n matrices of products or squared distances of rows see of two layers: for X and Y with their
// columns centred, a_i = ||x_i||^2 and b_i = ||y_i||^2,
//
//     F = ||X^T Y||_F^2 = sum over i, j of (x_i.x_j) (y_i.y_j),  P = sum a_i b_i,  A = sum a_i,  B = sum b_i.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// F, P and A B of one pair: of X and Y, of X and itself, or of Y and itself.
struct row_energies {
  bounded squares;   ///< F
  bounded products;  ///< P
  bounded totals;    ///< A B
};

/// What underflow takes from a sum of fourth powers at most, by far: all of it where the spread is below some 1e-67 of
/// the largest element.
inline double lost_to_underflow(index terms) { return 0x1p-960 * static_cast<double>(terms); }

/// ||factor * sums||_F^2, of sums that are off by `error` in that norm. No factor but a power of two.
inline bounded energy_of(const matrix& sums, double error, double factor) {
  const double energy = scaled_energy(sums, factor), norm = std::sqrt(energy);
  const double terms = static_cast<double>(sums.rows() + sums.cols()) + 4.0;
  error *= factor;
  return {energy, error * (2.0 * norm + error) + terms * unit_roundoff * energy + lost_to_underflow(sums.size())};
}

/// factor * tr sums, of sums whose diagonal is off by `error` in all.
inline bounded trace_of(const matrix& sums, double error, double factor) {
  double trace = 0.0;
  for (index j = 0; j < sums.cols(); ++j) trace += sums(j, j);
  const double terms = static_cast<double>(sums.cols()) + 2.0;
  return {factor * trace, factor * error + terms * unit_roundoff * factor * trace};
}

/// Those of X and Y, X and X, Y and Y.
struct pair_energies {
  row_energies xy, xx, yy;

  /// Throws option_error, with the name of who asks, for moments without y^T y or not about the means;
  /// degenerate_input_error for fewer tokens than `fewest` and where X or Y, as messages call them, has no variance.
  pair_energies(const scatter& s, index fewest, std::string_view name, const operand_names& names = pair_names) {
    require_both(s, name);
    require_centred(s, name);
    if (s.tokens < fewest) fail<degenerate_input_error>(text(fewest, " tokens"), text(s.tokens), {.operand = name});
    require_variance(s.xx, names.x);
    require_variance(s.yy, names.y);
    // In units of the energies, which are below the scales of huge data and above those of tiny.
    const double x = s.energies.x_scale / s.x_scale, y = s.energies.y_scale / s.y_scale;
    const bounded a = trace_of(s.xx, s.rounding.of_xx(), x * x), b = trace_of(s.yy, s.rounding.of_yy(), y * y);
    const double lost = lost_to_underflow(s.tokens);
    xx = {energy_of(s.xx, s.rounding.of_xx(), x * x), {s.energies.xx, s.energies.xx_error + lost}, a * a};
    yy = {energy_of(s.yy, s.rounding.of_yy(), y * y), {s.energies.yy, s.energies.yy_error + lost}, b * b};
    xy = {energy_of(s.xy, s.rounding.of_xy(), x * y), {s.energies.xy, s.energies.xy_error + lost}, a * b};
  }
};

/// xy / sqrt(xx yy). Throws degenerate_input_error where xx or yy is not certain to be above 0; `what` they are.
inline bounded correlation_of(const bounded& xy, const bounded& xx, const bounded& yy, std::string_view what,
                              const operand_names& names = pair_names) {
  for (const auto& [own, name] : {std::pair{&xx, names.x}, std::pair{&yy, names.y}})
    if (!(own->value > own->error))
      fail<degenerate_input_error>(text(what, " above 0"), text(own->value, " +- ", own->error), {.operand = name});
  return xy / sqrt(xx) / sqrt(yy);
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
