#include "exact_canonical.hpp"

#include "exact_svd.hpp"

#include <Eigen/Core>
#include <Eigen/QR>

#include <algorithm>
#include <cmath>
#include <limits>

namespace layerwise_test {

long_matrix exact_basis(long_matrix m) {
  for (Eigen::Index j = 0; j < m.cols(); ++j)
    if (const long double norm = m.col(j).norm(); norm > 0) m.col(j) /= norm;
  const Eigen::ColPivHouseholderQR<long_matrix> qr(m);
  const Eigen::Index most = std::min(m.rows(), m.cols());
  Eigen::Index rank = 0;
  const long double cutoff = 1e3L * std::numeric_limits<long double>::epsilon() * std::abs(qr.matrixQR()(0, 0));
  while (rank < most && std::abs(qr.matrixQR()(rank, rank)) > cutoff) ++rank;
  return qr.householderQ() * long_matrix::Identity(m.rows(), rank);
}

exact_canonical::exact_canonical(const row_major& data_x, const row_major& data_y) {
  long_matrix x = exact_values(data_x), y = exact_values(data_y);
  center_exactly(x);
  center_exactly(y);
  const long_matrix q_x = exact_basis(x), q_y = exact_basis(y);
  x_rank = q_x.cols(), y_rank = q_y.cols();
  correlations = exact_singular_values(q_x.transpose() * q_y);
}

}  // namespace layerwise_test
