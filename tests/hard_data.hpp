// Random pairs (X, Y) with whatever makes a regression hard: spectra, outlier dimensions, offsets, dependent and dead
// columns, extreme magnitudes.
#pragma once

#include "support.hpp"

#include <Eigen/Core>

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
data_pair worked_pair();

template <class Generator>
Eigen::Index random_index(Generator& random, Eigen::Index first, Eigen::Index last) {
  return std::uniform_int_distribution<Eigen::Index>(first, last)(random);
}

template <class T, class Generator>
T pick(Generator& random, const std::vector<T>& from) {
  return from[static_cast<std::size_t>(random_index(random, 0, static_cast<Eigen::Index>(from.size()) - 1))];
}

/// A uniformly distributed d x d orthogonal matrix.
row_major random_orthogonal(std::mt19937_64& random, Eigen::Index d);

/// An invertible d x d matrix of moderate condition.
row_major random_invertible(std::mt19937_64& random, Eigen::Index d);

data_pair make_data(std::mt19937_64& random, const hard_case& c);

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
