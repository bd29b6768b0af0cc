// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/statistics/centering.hpp>

#include <Eigen/Core>

/// @file
/// Second moments of a layer, or of a pair of layers: all that most metrics look at.
namespace layerwise::inline LAYERWISE_ABI {

/// How far sums of products can be off: |error of xx(i, j)| <= gamma x_norm(i) x_norm(j), of yy with y_norm, of xy(i, j)
/// gamma x_norm(i) cross_norm(j). The norms are those of columns as they were summed: larger than sqrt(xx(i, i)) where shifts, merges or offsets cancelled.
/// statistics/detail/columns.hpp has the derivation of gamma, which no data breaks.
struct scatter_rounding {
  double gamma = 0.0;
  Eigen::VectorXd x_norm;  ///< d_x
  Eigen::VectorXd y_norm;  ///< d_y; empty for one layer
  /// d_y: y_norm, or more where xy was summed as that of an update y - x; empty for one layer
  Eigen::VectorXd cross_norm;

  /// ||error of xx||_F is at most this.
  double of_xx() const { return gamma * detail::squared_norm(x_norm); }
  /// Of xy; infinite where nothing is known.
  double of_xy() const { return gamma * detail::norm(x_norm) * detail::norm(cross_norm); }
  /// Of yy.
  double of_yy() const { return gamma * detail::squared_norm(y_norm); }
};

/// Sums over tokens of ||x||^4, ||x||^2 ||y||^2 and ||y||^4 for rows about the means, and how far they can be off. In
/// units of scales that bring the largest element of a layer to 1..2.
struct energy_sums {
  double xx = 0.0, xy = 0.0, yy = 0.0;
  double xx_error = 0.0, xy_error = 0.0, yy_error = 0.0;
  double x_scale = 0.0, y_scale = 0.0;  ///< powers of two; both 0 where the sums are not kept, or not about the means
};

/// Sums over tokens of squares and products of the columns of x (n_tokens x d_x) and y (n_tokens x d_y), about their
/// means or about 0: x_i^T x_j, x_i^T y_j, y_i^T y_j. What a metric of second moments starts from, with what its error
/// bound starts from. Full matrices, not triangles, in units of scales that are 1 for data of ordinary magnitude: a
/// ratio that the scales do not cancel in is to be multiplied by them.
struct scatter {
  index tokens = 0;
  layerwise::centering centering = layerwise::centering::columns;
  column_matrix xx;                     ///< d_x x d_x, of x * x_scale
  column_matrix xy;                     ///< d_x x d_y, of x * x_scale and y * y_scale; empty for one layer
  column_matrix yy;                     ///< d_y x d_y, of y * y_scale; empty unless it was kept
  Eigen::RowVectorXd x_mean, y_mean;    ///< of the columns, in the data's own units, whatever the centring
  double x_scale = 1.0, y_scale = 1.0;  ///< powers of two
  scatter_rounding rounding;            ///< of xx, xy and yy
  energy_sums energies;                 ///< of a pair, kept with yy
  index different_rows = 0;             ///< of x, a limit of its rank; more than d_x + 1 count as the largest index

  index x_dimensions() const { return xx.rows(); }      ///< d_x
  index y_dimensions() const { return y_mean.size(); }  ///< d_y; 0 for one layer
  /// n - 1, or n where nothing is centred: what covariances are divided by.
  index degrees_of_freedom() const { return detail::degrees_of_freedom(tokens, centering); }
};

}  // namespace layerwise::inline LAYERWISE_ABI
