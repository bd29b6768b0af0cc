// Singular values in long double by one-sided Jacobi rotations: columns are turned against each other, two at a time,
// until all are orthogonal. Shares nothing with the library's.
#pragma once

#include "exact_regression.hpp"

#include <vector>

namespace layerwise_test {

/// Turns columns of a until they are orthogonal: their norms are its singular values, in any order.
void orthogonalize_columns(long_matrix& a);

/// Descending, as many as a has rows or columns.
std::vector<long double> exact_singular_values(const long_matrix& a);

}  // namespace layerwise_test
