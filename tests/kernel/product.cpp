#include <layerwise/kernel/product.hpp>

#include "exact_regression.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

using layerwise::index;
using layerwise::detail::add_products;
using layerwise::detail::pack;
using layerwise::detail::pack_transposed;
using layerwise::detail::packed_block;
using layerwise::detail::product_tile;
using layerwise::detail::unpack;
using layerwise::detail::unpack_transposed;
using namespace layerwise_test;

packed_block packed(const row_major& m) {
  packed_block out;
  pack(m, out);
  return out;
}

/// Sizes around every edge: of the kernel, of the panel, of the tile.
const std::vector<index> widths{1, 7, 8, 9, 23, 24, 25, 48, product_tile - 1, product_tile, product_tile + 1, 400};

void check_products(double alpha) {
  std::mt19937_64 random(1);
  constexpr double u = std::numeric_limits<double>::epsilon();
  for (const index depth : {1, 2, 37})
    for (const index a_cols : widths)
      for (const index b_cols : {index{1}, index{24}, index{50}, product_tile + 9}) {
        CAPTURE(depth);
        CAPTURE(a_cols);
        CAPTURE(b_cols);
        const row_major x = random_matrix(random, depth, a_cols), y = random_matrix(random, depth, b_cols);
        const auto a = packed(x), b = packed(y);
        // A block inside a larger matrix, of which nothing else may change.
        Eigen::MatrixXd cross = Eigen::MatrixXd::Constant(a_cols + 3, b_cols + 2, 0.5), second(a_cols, a_cols);
        second.setConstant(0.25);
        add_products(alpha, {{a, a, second, true}, {a, b, cross.block(1, 1, a_cols, b_cols)}});

        const long_matrix long_x = x.cast<long double>(), long_y = y.cast<long double>();
        const long_matrix exact_cross = alpha * (long_x.transpose() * long_y);
        const long_matrix exact_second = alpha * (long_x.transpose() * long_x);
        const double tolerance = 4 * u * static_cast<double>(depth) * std::abs(alpha) * 20 + 4e-16;
        const long_matrix cross_error =
            (cross.block(1, 1, a_cols, b_cols).cast<long double>().array() - 0.5L - exact_cross.array()).abs();
        CHECK(cross_error.maxCoeff() < tolerance);
        long_matrix second_error = (second.cast<long double>().array() - 0.25L - exact_second.array()).abs();
        CHECK(long_matrix(second_error.triangularView<Eigen::Lower>()).maxCoeff() < tolerance);
        CHECK((cross.row(0).array() == 0.5).all());
        CHECK((cross.bottomRows(2).array() == 0.5).all());
        CHECK((cross.col(0).array() == 0.5).all());
        CHECK((cross.rightCols(1).array() == 0.5).all());
      }
}

TEST_CASE("packed products of double are those of long double, at every edge") {
  check_products(1.0);
  check_products(-1.0);
}

TEST_CASE("a smaller c takes the first columns of a and b, and may be the lower part of a trapezoid") {
  std::mt19937_64 random(4);
  const row_major x = random_matrix(random, 30, 450), y = random_matrix(random, 30, 70);
  const packed_block a = packed(x), b = packed(y);
  for (const index rows : {25, 300, 450})
    for (const index cols : {1, 20, 65}) {
      CAPTURE(rows);
      CAPTURE(cols);
      Eigen::MatrixXd some = Eigen::MatrixXd::Zero(rows, cols);
      add_products(-1.0, {{a, b, some}});
      CHECK((some + x.leftCols(rows).transpose() * y.leftCols(cols)).cwiseAbs().maxCoeff() < 1e-13);
      if (cols > rows) continue;
      Eigen::MatrixXd lower = Eigen::MatrixXd::Zero(rows, cols);
      add_products(2.0, {{a, a, lower, true}});
      const Eigen::MatrixXd error = lower - 2.0 * x.leftCols(rows).transpose() * x.leftCols(cols);
      CHECK(Eigen::MatrixXd(error.triangularView<Eigen::Lower>()).cwiseAbs().maxCoeff() < 1e-13);
    }
}

Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic> exact_product(const Eigen::MatrixXd& x) {
  return x.cast<long double>().transpose() * x.cast<long double>();
}

TEST_CASE("a block that shrinks and grows keeps its padding clear") {
  std::mt19937_64 random(2);
  packed_block block;
  for (const index cols : {50, 3, 49, 24}) {
    const Eigen::MatrixXd m = random_matrix(random, 5 + cols, cols);
    const auto check = [&](const Eigen::MatrixXd& expected) {
      CHECK(block.rows() == expected.rows());
      CHECK(block.cols() == expected.cols());
      for (index j = 0; j < block.padded_cols(); ++j)
        for (index i = 0; i < expected.rows(); ++i)
          CHECK(block.at(j)[i * block.row_stride()] == (j < expected.cols() ? expected(i, j) : 0.0));
    };
    pack(m, block);
    check(m);
    Eigen::MatrixXd back = Eigen::MatrixXd::Zero(m.rows(), cols);
    unpack(block, back);
    CHECK(back == m);
    pack_transposed(m, block);
    check(m.transpose());
    Eigen::MatrixXd around = Eigen::MatrixXd::Zero(m.rows() + 1, cols + 2);  // a part of a larger one
    unpack_transposed(block, around.block(1, 1, m.rows(), cols));
    CHECK(around.block(1, 1, m.rows(), cols) == m);
    CHECK(around.squaredNorm() == doctest::Approx(m.squaredNorm()));
  }
}

TEST_CASE("sums taken in parts are the same sums, more accurately") {
  std::mt19937_64 random(4);
  // Positive numbers: errors of a long sum have something to grow with.
  const Eigen::MatrixXd x = random_matrix(random, 5000, 30).cwiseAbs();
  const auto a = packed(x);
  const auto exact = exact_product(x);
  const auto error = [&](index rows_at_once) {
    Eigen::MatrixXd c = Eigen::MatrixXd::Zero(30, 30);
    add_products(1.0, {{a, a, c, false, rows_at_once}});
    return static_cast<double>((c.cast<long double>() - exact).norm() / exact.norm());
  };
  const double whole = error(std::numeric_limits<index>::max());
  CHECK(whole < 1e-14);
  CHECK(error(64) < whole / 2.0);
  CHECK(error(1) < 1e-14);
}

#if defined(_OPENMP) && !defined(LAYERWISE_PRODUCTS_BY_BLAS)
TEST_CASE("products do not depend on the number of threads") {
  std::mt19937_64 random(3);
  const auto a = packed(random_matrix(random, 100, 500)), b = packed(random_matrix(random, 100, 300));
  const int before = omp_get_max_threads();
  std::vector<Eigen::MatrixXd> results;
  for (const int threads : {1, 2, 5}) {
    omp_set_num_threads(threads);
    Eigen::MatrixXd& c = results.emplace_back(Eigen::MatrixXd::Zero(500, 300));
    add_products(1.0, {{a, b, c}});
  }
  omp_set_num_threads(before);
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}
#endif

}  // namespace
