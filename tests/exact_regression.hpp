// Linear regression from its definition, in long double, or in quad where the data is so ill-conditioned that
// long double is not enough: what the tests compare the library's scores with. It shares nothing with the
// library but the definition.
#pragma once

#include "support.hpp"

#include <Eigen/Core>

#include <cmath>

namespace layerwise_test {

using long_matrix = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic>;
using long_row = Eigen::Matrix<long double, 1, Eigen::Dynamic>;

/// min_A ||X A - Y||_F^2 of the (centred) X and Y.
struct exact_regression {
  Eigen::Index rank = 0;
  long double output_energy = 0, update_energy = 0, residual_energy = 0;
  long_matrix weight;  ///< d_x x d_y; unique if rank = d_x
  long_row bias;
  long_matrix triangle;  ///< of the pivoted QR factorization of X, centred, columns of unit norm

  /// The size of direction `number`, from 0 on, relative to the first one.
  long double relative_pivot(Eigen::Index number) const {
    return number < triangle.rows() ? std::abs(triangle(number, number) / triangle(0, 0)) : 0;
  }

  long double score() const { return 1 - residual_energy / output_energy; }
  long double residual_score() const { return 1 - residual_energy / update_energy; }
};

/// The values of a matrix, exactly.
long_matrix exact_values(const row_major& x);

/// Takes out the column means and returns them. Exactly 0 is left of a constant column.
long_row center_exactly(long_matrix& m);

exact_regression regress_exactly(const row_major& x, const row_major& y, bool centered = true);

/// The same with twice the digits, at a hundred times the cost.
exact_regression regress_in_quad(const row_major& x, const row_major& y, bool centered = true);

struct exact_gradients {
  row_major x, y;
};

/// Of the linearity score, or of the residual one, by the formula, in quad precision. x: of full column rank.
exact_gradients differentiate_in_quad(const row_major& x, const row_major& y, bool residual, bool centered);

}  // namespace layerwise_test
