#include "exact_svd.hpp"

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace layerwise_test {

void orthogonalize_columns(long_matrix& a) {
  constexpr long double epsilon = std::numeric_limits<long double>::epsilon();
  for (bool turned = true; turned;) {
    turned = false;
    for (Eigen::Index i = 0; i < a.cols(); ++i)
      for (Eigen::Index j = i + 1; j < a.cols(); ++j) {
        long double ii = 0, jj = 0, ij = 0;
        for (Eigen::Index k = 0; k < a.rows(); ++k)
          ii += a(k, i) * a(k, i), jj += a(k, j) * a(k, j), ij += a(k, i) * a(k, j);
        if (!(std::abs(ij) > 64 * epsilon * std::sqrt(ii) * std::sqrt(jj)) || ij * ij == 0) continue;
        turned = true;
        const long double zeta = (jj - ii) / (2 * ij);
        const long double t = std::copysign(1 / (std::abs(zeta) + std::hypot(1.0L, zeta)), zeta);
        const long double c = 1 / std::hypot(1.0L, t), s = c * t;
        for (Eigen::Index k = 0; k < a.rows(); ++k) {
          const long double p = a(k, i), q = a(k, j);
          a(k, i) = c * p - s * q, a(k, j) = s * p + c * q;
        }
      }
  }
}

std::vector<long double> exact_singular_values(const long_matrix& a) {
  long_matrix turned = a;
  if (a.rows() < a.cols()) turned = a.transpose();
  orthogonalize_columns(turned);
  std::vector<long double> values;
  for (Eigen::Index j = 0; j < turned.cols(); ++j) values.push_back(turned.col(j).norm());
  std::sort(values.rbegin(), values.rend());
  return values;
}

}  // namespace layerwise_test
