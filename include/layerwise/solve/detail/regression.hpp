// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/indices.hpp>
#include <layerwise/solve/solver.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

// min_A ||X A - T||_F^2: what is asked, and what comes of it.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// What is asked of a regression.
struct regression_request {
  solver method = solver::automatic;
  double tolerance = 1e-8;  ///< of the scores wanted
  bool output = false;      ///< whether the score of the output is wanted
  bool update = false;      ///< whether the score of the update is wanted
  bool solution = false;    ///< whether the map itself is, too

  bool wants(regression_target what) const { return what == regression_target::output ? output : update; }
};

/// A, as it was solved for: for the columns of X that were kept, divided by their norms.
struct scaled_solution {
  index x_dimensions = 0;
  matrix a;              ///< kept columns x d_t
  indices kept;          ///< which columns of X
  Eigen::VectorXd norm;  ///< their norms

  /// A, d_x x d_t, for x * x_scale and t * target_scale; 0 for columns of X that were left out.
  matrix coefficients() const {
    matrix all = matrix::Zero(x_dimensions, a.cols());
    for (index c = 0; c < a.cols(); ++c)
      for (index i = 0; i < a.rows(); ++i) all(kept[i], c) = a(i, c) / norm[i];
    return all;
  }
};

/// The regression of a target on x, and its certificate. Energies are in units of the target.
struct regression {
  solver method = solver::cholesky;
  regression_target target = regression_target::output;
  index rank = 0;
  double condition = 1.0;         ///< ratio of the extreme singular values of X's scaled columns that were kept
  double discarded_energy = 0.0;  ///< share of the scaled columns' energy in the directions that were not
  double residual_energy = 0.0;   ///< min ||X A - T||_F^2 over the columns that were kept
  double residual_error = 0.0;    ///< bound on the rounding error of residual_energy
  double left_out = 0.0;          ///< at most what the columns that were kept leave of X: ||X - P X||_F
  scaled_solution solution = {};  ///< if it was asked for

  /// Bound on the error of residual_energy as that of the other target: y and y - x differ by x, and so do their
  /// residuals by what is left of x.
  double error_for(regression_target what) const {
    if (what == target || left_out == 0.0) return residual_error;
    return residual_error + left_out * (2.0 * std::sqrt(residual_energy + residual_error) + left_out);
  }
};

/// 1 - s: the share of an energy that a regression leaves.
inline double unexplained_share(double residual_energy, double energy) {
  return (std::min)(1.0, residual_energy / energy);
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
