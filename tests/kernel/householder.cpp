#include <layerwise/kernel/householder.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>
#include <Eigen/QR>
#include <Eigen/SVD>

#include <cmath>
#include <random>

namespace {

using layerwise::index;
using layerwise::detail::pivoted_qr;
using layerwise::detail::reduce_to_triangle;
using layerwise::detail::reflection_panel;
using namespace layerwise_test;

/// R of a QR with a positive diagonal, which makes it unique.
Eigen::MatrixXd positive(Eigen::MatrixXd r) {
  for (index k = 0; k < r.rows(); ++k)
    if (r(k, k) < 0.0) r.row(k) *= -1.0;
  return r;
}

TEST_CASE("the triangle and Q^T b are those of Eigen's QR, whatever the shape") {
  std::mt19937_64 random(1);
  const index panel = reflection_panel::columns;
  for (const index columns : {index{1}, index{7}, panel, panel + 1, 3 * panel - 5})
    for (const index rows : {index{1}, columns / 2 + 1, columns, columns + 1, 4 * columns})
      for (const index targets : {0, 1, 30}) {
        CAPTURE(columns);
        CAPTURE(rows);
        CAPTURE(targets);
        const Eigen::MatrixXd a = random_matrix(random, rows, columns + targets);
        Eigen::MatrixXd found = a;
        reduce_to_triangle(found, columns);
        const index kept = std::min(rows, columns);
        const Eigen::HouseholderQR<Eigen::MatrixXd> reference(a.leftCols(columns));
        Eigen::MatrixXd expected = reference.householderQ().adjoint() * a;
        expected.topLeftCorner(kept, columns).triangularView<Eigen::StrictlyLower>().setZero();
        found.topLeftCorner(kept, columns).triangularView<Eigen::StrictlyLower>().setZero();
        const double size = a.norm();
        CHECK((positive(found.topRows(kept)) - positive(expected.topRows(kept))).norm() < 1e-12 * size);
        // What is left has no direction of its own: only its inner products count.
        const Eigen::MatrixXd left = found.bottomRightCorner(rows - kept, targets);
        const Eigen::MatrixXd left_expected = expected.bottomRightCorner(rows - kept, targets);
        CHECK((left.transpose() * left - left_expected.transpose() * left_expected).norm() < 1e-12 * size * size);
      }
}

TEST_CASE("a column whose squares vanish reflects nothing askew") {
  // Of ten equal columns the last ones are so small: each leaves the rounding of what the one before it left.
  std::mt19937_64 random(3);
  for (const double size : {1e-150, 1e-158, 1e-161, 1e-163, 1e-300}) {
    CAPTURE(size);
    Eigen::MatrixXd a = random_matrix(random, 30, 2);
    a.col(0) *= size;
    const double energy = a.col(1).squaredNorm();
    reduce_to_triangle(a, 2);
    CHECK(std::abs(a.col(1).head(2).squaredNorm() / energy - 1.0) < 1e-14);
  }
}

TEST_CASE("columns of zeros, constant signs and dependent columns keep the normal equations") {
  std::mt19937_64 random(2);
  Eigen::MatrixXd a = random_matrix(random, 120, 60).cwiseAbs();
  a.col(0).setZero();
  a.col(20) = a.col(19);
  a.col(49).setZero();
  a.col(59) = -3.0 * a.col(5);
  Eigen::MatrixXd m(120, 61);
  m << a, random_matrix(random, 120, 1);
  const Eigen::MatrixXd before = m;
  reduce_to_triangle(m, 60);
  m.leftCols(60).triangularView<Eigen::StrictlyLower>().setZero();
  CHECK(m.allFinite());
  CHECK((m.transpose() * m - before.transpose() * before).norm() < 1e-14 * before.squaredNorm());
}

TEST_CASE("dependent columns leave no more than a few roundings") {
  std::mt19937_64 random(5);
  const Eigen::MatrixXd table = random_matrix(random, 20, 96);
  Eigen::MatrixXd m(608, 96);
  for (index i = 0; i < m.rows(); ++i) m.row(i) = table.row(static_cast<index>(random() % 20));
  for (index j = 0; j < m.cols(); ++j) m.col(j) /= m.col(j).norm();
  reduce_to_triangle(m, 96);
  Eigen::MatrixXd r = m.topRows(96);
  r.triangularView<Eigen::StrictlyLower>().setZero();
  const Eigen::VectorXd values = Eigen::JacobiSVD<Eigen::MatrixXd>(r).singularValues();
  CHECK(values[19] > 0.1);
  CHECK(values[20] < 1e-15 * values[0]);
}

TEST_CASE("pivoting takes the largest column first, and finds the rank") {
  std::mt19937_64 random(3);
  for (const index rank : {1, 5, 48, 70}) {
    const Eigen::MatrixXd a = random_matrix(random, 90, rank) * random_matrix(random, rank, 75);
    const pivoted_qr found(a, 90, 1e-12);
    CAPTURE(rank);
    REQUIRE(found.rank == rank);
    CHECK(std::sqrt(found.left_below(rank).sum()) < 1e-12 * a.norm());
    Eigen::MatrixXd r = found.r.topRows(rank), permuted(a.rows(), a.cols());
    r.triangularView<Eigen::StrictlyLower>().setZero();
    for (index j = 0; j < a.cols(); ++j) permuted.col(j) = a.col(found.order[j]);
    CHECK((r.transpose() * r - permuted.transpose() * permuted).norm() < 1e-13 * a.squaredNorm());
    for (index k = 0; k < rank; ++k)
      for (index j = k; j < a.cols(); ++j)
        REQUIRE(r.col(j).segment(k, std::min(j, rank - 1) - k + 1).norm() <= std::abs(r(k, k)) * (1.0 + 1e-12));
    Eigen::MatrixXd z = permuted;
    found.apply(z);
    CHECK((z.topRows(rank) - r).norm() < 1e-13 * a.norm());
    CHECK(z.bottomRows(90 - rank).norm() < 1e-12 * a.norm());
  }
}

TEST_CASE("cut short, pivoting reports the energy of what is left") {
  std::mt19937_64 random(4);
  const Eigen::MatrixXd a = random_matrix(random, 40, 30);
  const pivoted_qr shorter(a, 12, 0.0);
  CHECK(shorter.rank == 12);
  Eigen::MatrixXd r = shorter.r.topRows(12);
  r.triangularView<Eigen::StrictlyLower>().setZero();
  const double left = a.squaredNorm() - r.squaredNorm();
  CHECK(shorter.left_below(12).sum() == doctest::Approx(left).epsilon(1e-12));
  // The same of a longer one, cut short afterwards.
  CHECK(pivoted_qr(a, 30, 0.0).left_below(12).sum() == doctest::Approx(left).epsilon(1e-12));
  CHECK(shorter.rank_above(0.0, 12) == 12);
  CHECK(shorter.rank_above(std::abs(shorter.r(7, 7) / shorter.r(0, 0)), 12) == 7);
  CHECK(shorter.rank_above(2.0, 12) == 1);
  CHECK(pivoted_qr(a, 0, 0.0).rank == 0);
  CHECK(pivoted_qr(a, 0, 0.0).left_below(0).sum() == doctest::Approx(a.squaredNorm()).epsilon(1e-12));
  CHECK(pivoted_qr(Eigen::MatrixXd::Zero(5, 3), 5, 1e-15).rank == 0);
}

}  // namespace
