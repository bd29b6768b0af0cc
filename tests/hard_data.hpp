// Random pairs (X, Y) with whatever makes a regression hard: spectra, outlier dimensions, offsets, dependent and dead
// columns, extreme magnitudes.
#pragma once

#include "support.hpp"

#include <Eigen/Core>
#include <Eigen/QR>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <random>
#include <vector>

namespace layerwise_test {

/// How Y comes from X.
enum class target_kind {
  map_and_noise,  ///< a linear map of X, and `level` of noise
  weakest,        ///< as much of X's weakest direction as of its strongest, and `level` of noise
  independent,    ///< noise
  update,         ///< X and a small update of size `level`
  mixed,          ///< in the first rows as `update`, in the other ones next to nothing
};

struct hard_case {
  Eigen::Index n = 100, d_x = 10, d_y = 10;
  target_kind target = target_kind::map_and_noise;
  double level = 1.0;
  double condition = 1.0;  ///< ratio of the ends of X's power-law spectrum
  double outlier = 1.0;    ///< factor of one column of X and one of Y
  double offset = 0.0;     ///< of every column, in units of its spread
  double scale = 1.0;      ///< of everything
  int duplicates = 0;      ///< columns of X that repeat another one
  int dead = 0;            ///< columns of X and of Y that are constant

  friend std::ostream& operator<<(std::ostream& out, const hard_case& c) {
    return out << "n " << c.n << ", d_x " << c.d_x << ", d_y " << c.d_y << ", target " << static_cast<int>(c.target)
               << ", level " << c.level << ", condition " << c.condition << ", outlier " << c.outlier << ", offset "
               << c.offset << ", scale " << c.scale << ", duplicates " << c.duplicates << ", dead " << c.dead;
  }
};

struct data_pair {
  row_major x, y;
};

/// Five tokens of two dimensions, whose values can be worked out by hand.
inline data_pair worked_pair() {
  data_pair pair{row_major(5, 2), row_major(5, 2)};
  pair.x << 1, 0, 0, 1, 2, 1, 1, 3, -1, 0;
  pair.y << 2, 1, 1, 1, 3, 4, 2, 5, 0, -1;
  return pair;
}

template <class Generator>
Eigen::Index random_index(Generator& random, Eigen::Index first, Eigen::Index last) {
  return std::uniform_int_distribution<Eigen::Index>(first, last)(random);
}

template <class T, class Generator>
T pick(Generator& random, const std::vector<T>& from) {
  return from[static_cast<std::size_t>(random_index(random, 0, static_cast<Eigen::Index>(from.size()) - 1))];
}

/// A uniformly distributed d x d orthogonal matrix.
template <class Generator>
row_major random_orthogonal(Generator& random, Eigen::Index d) {
  const Eigen::HouseholderQR<row_major> qr(random_matrix(random, d, d));
  return qr.householderQ();
}

/// An invertible d x d matrix of moderate condition.
template <class Generator>
row_major random_invertible(Generator& random, Eigen::Index d) {
  const Eigen::VectorXd stretch =
      Eigen::VectorXd::NullaryExpr(d, [&] { return std::uniform_real_distribution<double>(0.5, 2.0)(random); });
  return random_orthogonal(random, d) * stretch.asDiagonal() * random_orthogonal(random, d);
}

template <class Generator>
data_pair make_data(Generator& random, const hard_case& c) {
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

/// As a matrix of another scalar type; both by the same power of two if the type's range asks for it.
template <class Scalar>
struct cast_pair {
  Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> x, y;

  explicit cast_pair(const data_pair& data) {
    const double peak = std::max(data.x.cwiseAbs().maxCoeff(), data.y.cwiseAbs().maxCoeff());
    const double limit = static_cast<double>(std::numeric_limits<Scalar>::max()) / 4.0;
    const double scale = peak > limit ? std::ldexp(1.0, std::ilogb(limit) - std::ilogb(peak)) : 1.0;
    x = (data.x * scale).template cast<Scalar>();
    y = (data.y * scale).template cast<Scalar>();
  }
};

/// Random lengths that add up to n: how rows are split into batches.
template <class Generator>
std::vector<Eigen::Index> random_split(Generator& random, Eigen::Index n, Eigen::Index longest) {
  std::vector<Eigen::Index> lengths;
  for (; n > 0; n -= lengths.back()) lengths.push_back(random_index(random, 1, std::min(n, longest)));
  return lengths;
}

}  // namespace layerwise_test
