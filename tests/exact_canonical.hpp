// Canonical correlations from the rows, in long double: pivoted QR of the centred X and Y, and Jacobi rotations.
#pragma once

#include "exact_regression.hpp"
#include "support.hpp"

#include <Eigen/Core>

#include <vector>

namespace layerwise_test {

/// An orthonormal basis of the columns of m, each of which has been divided by its norm.
long_matrix exact_basis(long_matrix m);

struct exact_canonical {
  std::vector<long double> correlations;  ///< descending
  Eigen::Index x_rank, y_rank;

  exact_canonical(const row_major& data_x, const row_major& data_y);
};

}  // namespace layerwise_test
