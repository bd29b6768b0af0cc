// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/detail/columns.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

// What sums over tokens say of a pair of layers: all that a regression may look at.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// A column, or a matrix, of less energy, in scaled units, counts as constant: squares near the least numbers have
/// lost digits.
inline constexpr double least_energy = 0x1p-960;
/// What underflow can have taken from sums of products counts as the rounding of so much energy.
inline constexpr double least_noise = 0x1p-1010;

/// Which of the two regressions that share a residual: of the output y, or of the update y - x.
enum class regression_target { output, update };

/// What is known of the columns of a layer, or of an update, in units of 1 / scale.
struct column_stats {
  double scale = 1.0;
  Eigen::VectorXd energy;  ///< per column: sum of squares, centred or not, as asked
  Eigen::VectorXd noise;   ///< per column: the energy that took part in the sums; rounding scales with it
  /// The mean in two parts, to be subtracted one after the other so that an offset costs no digits; both 0 if
  /// centring is off.
  Eigen::VectorXd shift, drift;
};

/// The energy of a whole matrix.
struct total_energy {
  double value = 0.0;           ///< in its own units
  double relative_error = 0.0;  ///< at most; infinite where the value is 0 but rounding may have hidden another
};

/// What the solver needs to know of one pair of layers: x (n x d_x) and the target t (n x d_t), which is the
/// output y or the update r = y - x. Centred or not, as asked.
struct pair_moments {
  index tokens = 0;
  layerwise::centering centering = layerwise::centering::columns;
  regression_target target = regression_target::output;
  matrix second;                   ///< x^T x, lower triangle
  matrix cross;                    ///< x^T t
  column_stats x, output;          ///< of x and of y
  column_stats update;             ///< of r; empty if d_x != d_y
  total_energy output_total;       ///< tr y^T y
  total_energy update_total;       ///< tr r^T r; 0 if d_x != d_y
  double sum_rounding = 0.0;       ///< gamma: |error of x_i^T t_j| <= gamma times the roots of both noises
  index different_rows = 0;        ///< of x; the largest index for more than d_x + 1
  Eigen::VectorXd y_spread;        ///< per column of y: sum of squares about the mean, in units common to all
  Eigen::VectorXd x_mean, y_mean;  ///< in the data's own units, whatever the centring

  index x_dimensions() const { return second.rows(); }
  index y_dimensions() const { return output.shift.size(); }

  const column_stats& stats(regression_target what) const {
    return what == regression_target::output ? output : update;
  }
  const column_stats& target_stats() const { return stats(target); }
  const total_energy& total(regression_target what) const {
    return what == regression_target::output ? output_total : update_total;
  }
  total_energy& total(regression_target what) {
    return what == regression_target::output ? output_total : update_total;
  }

  /// An energy of the target, in units of y or of the update: is never above that one's own, and so safe.
  double in_units_of(regression_target what, double energy) const {
    const double ratio = stats(what).scale / target_stats().scale;
    return energy < HUGE_VAL ? energy * ratio * ratio : HUGE_VAL;
  }

  /// Rank of x and of anything else cannot exceed it: n rows, one degree of freedom less when they are centred.
  index degrees_of_freedom() const { return detail::degrees_of_freedom(tokens, centering); }
  /// Rank of x cannot exceed it either.
  index rank_limit() const { return detail::degrees_of_freedom((std::min)(different_rows, tokens), centering); }
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
