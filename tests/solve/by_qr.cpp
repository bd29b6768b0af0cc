#include <layerwise/solve/detail/by_qr.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <random>

namespace {

using layerwise::index;
using namespace layerwise_test;

TEST_CASE("block by block, QR keeps the normal equations and the energy") {
  std::mt19937_64 random(13);
  const Eigen::MatrixXd x = random_matrix(random, 90, 7), t = random_matrix(random, 90, 70);
  layerwise::detail::block_qr qr(7, 70);
  index done = 0;
  for (const index count : {3, 2, 60, 25}) {
    qr.add(count, [&](auto x_rows, auto t_rows) {
      x_rows = x.middleRows(done, count);
      t_rows = t.middleRows(done, count);
    });
    done += count;
  }
  const Eigen::MatrixXd r = qr.triangle().leftCols(7), z = qr.triangle().rightCols(70);
  CHECK(r.isUpperTriangular(0.0));
  CHECK((r.transpose() * r).isApprox(x.transpose() * x, 1e-13));
  CHECK((r.transpose() * z).isApprox(x.transpose() * t, 1e-13));
  CHECK((z.colwise().squaredNorm() + qr.left().transpose()).isApprox(t.colwise().squaredNorm(), 1e-13));
}

}  // namespace
