#include "hard_data.hpp"

#include <Eigen/Core>
#include <Eigen/QR>

#include <algorithm>
#include <cmath>
#include <random>

namespace layerwise_test {

data_pair worked_pair() {
  data_pair pair{row_major(5, 2), row_major(5, 2)};
  pair.x << 1, 0, 0, 1, 2, 1, 1, 3, -1, 0;
  pair.y << 2, 1, 1, 1, 3, 4, 2, 5, 0, -1;
  return pair;
}

row_major random_orthogonal(std::mt19937_64& random, Eigen::Index d) {
  const Eigen::HouseholderQR<row_major> qr(random_matrix(random, d, d));
  return qr.householderQ();
}

row_major random_invertible(std::mt19937_64& random, Eigen::Index d) {
  const Eigen::VectorXd stretch =
      Eigen::VectorXd::NullaryExpr(d, [&] { return std::uniform_real_distribution<double>(0.5, 2.0)(random); });
  return random_orthogonal(random, d) * stretch.asDiagonal() * random_orthogonal(random, d);
}

data_pair make_data(std::mt19937_64& random, const hard_case& c) {
  const row_major u = random_matrix(random, c.n, c.d_x);
  Eigen::VectorXd spectrum(c.d_x);
  const double exponent = std::log(c.condition) / std::log(std::max(2.0, static_cast<double>(c.d_x)));
  for (Eigen::Index k = 0; k < c.d_x; ++k) spectrum[k] = std::pow(static_cast<double>(k + 1), -exponent);
  row_major x = u * spectrum.asDiagonal() * random_orthogonal(random, c.d_x).transpose();
  x /= std::sqrt(x.squaredNorm() / static_cast<double>(x.size()));

  const row_major noise = random_matrix(random, c.n, c.d_y);
  const double per_input = 1.0 / std::sqrt(static_cast<double>(c.d_x));
  row_major y;
  switch (c.target) {
    case target_kind::map_and_noise:
      y = x * random_matrix(random, c.d_x, c.d_y) * per_input + c.level * noise;
      break;
    case target_kind::weakest:
      y = u * random_matrix(random, c.d_x, c.d_y) * per_input + c.level * noise;
      break;
    case target_kind::independent:
      y = noise;
      break;
    case target_kind::update:
      y = x + c.level * (noise + x * random_matrix(random, c.d_x, c.d_x) * per_input);
      break;
    case target_kind::mixed:
      y = x + c.level * noise;
      y.bottomRows(c.n - c.n / 2) = 1e-3 * noise.bottomRows(c.n - c.n / 2);
      break;
  }

  x.col(random_index(random, 0, c.d_x - 1)) *= c.outlier;
  y.col(random_index(random, 0, c.d_y - 1)) *= c.outlier;
  for (row_major* m : {&x, &y})
    for (Eigen::Index j = 0; j < m->cols(); ++j) {
      const double spread = m->col(j).norm() / std::sqrt(static_cast<double>(c.n));
      m->col(j).array() += c.offset * spread * std::uniform_real_distribution<double>(-1.0, 1.0)(random);
    }
  for (int k = 0; k < c.duplicates && c.d_x > 1; ++k) {
    const Eigen::Index from = random_index(random, 0, c.d_x - 1);
    x.col((from + 1) % c.d_x) = x.col(from);
  }
  for (int k = 0; k < c.dead; ++k) {
    if (c.d_x > 1) x.col(random_index(random, 0, c.d_x - 1)).setConstant(k % 2 == 0 ? 0.0 : 0.1);
    if (c.d_y > 1) y.col(random_index(random, 0, c.d_y - 1)).setConstant(k % 2 == 0 ? 0.3 : 0.0);
  }
  return {x * c.scale, y * c.scale};
}

}  // namespace layerwise_test
