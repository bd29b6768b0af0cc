#include <layerwise/training/linearity_gradient.hpp>

#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>
#include <Eigen/QR>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <utility>
#include <vector>

namespace {

using layerwise::centering;
using layerwise::index;
using layerwise::linearity_and_gradient;
using layerwise::linearity_options;
using layerwise::residual_linearity_and_gradient;
using layerwise::solver;
using layerwise::token_mask;
using namespace layerwise_test;

/// Both gradients of the score (or of that without the residual) by their definition, central differences of
/// the score in quad precision.
struct gradients {
  row_major x, y;
};
enum class score { output, update };

gradients differences(const row_major& x, const row_major& y, score which, bool centered) {
  const auto value = [&](const row_major& at_x, const row_major& at_y) {
    const exact_regression exact = regress_in_quad(at_x, at_y, centered);
    // Less 1, which would cost digits.
    return -exact.residual_energy / (which == score::output ? exact.output_energy : exact.update_energy);
  };
  const auto by = [&](row_major& moving, const row_major& fixed, bool first) {
    row_major out(moving.rows(), moving.cols());
    for (index i = 0; i < moving.size(); ++i) {
      double& element = moving.data()[i];
      const double before = element, step = std::exp2(-26) * moving.cwiseAbs().maxCoeff();
      element = before + step;
      const double up = element;
      const long double above = first ? value(moving, fixed) : value(fixed, moving);
      element = before - step;
      const double down = element;
      const long double below = first ? value(moving, fixed) : value(fixed, moving);
      element = before;
      out.data()[i] = static_cast<double>((above - below) / static_cast<long double>(up - down));
    }
    return out;
  };
  row_major moving_x = x, moving_y = y;
  return {by(moving_x, y, true), by(moving_y, x, false)};
}

struct data {
  row_major x, y;
};
data related(std::mt19937_64& random, index n, index d_x, index d_y, double noise) {
  data out{random_matrix(random, n, d_x), {}};
  out.y = out.x * random_matrix(random, d_x, d_y) + noise * random_matrix(random, n, d_y);
  return out;
}

gradients found(const row_major& x, const row_major& y, score which, const linearity_options& options = {}) {
  gradients out{row_major::Zero(x.rows(), x.cols()), row_major::Zero(y.rows(), y.cols())};
  const auto result = which == score::output ? linearity_and_gradient(x, y, out.x, out.y, 1.0, options)
                                             : residual_linearity_and_gradient(x, y, out.x, out.y, 1.0, options);
  const double expected = which == score::output ? layerwise::linearity_score(x, y, options)
                                                 : layerwise::residual_linearity_score(x, y, options);
  CHECK(result.score == expected);
  return out;
}

void check_near(const row_major& found, const row_major& expected, double tolerance) {
  CHECK((found - expected).norm() <= tolerance * expected.norm());
}

TEST_CASE("the gradients are those of differences in quad precision") {
  std::mt19937_64 random(1);
  for (const double noise : {3.0, 0.1, 1e-4})
    for (const double offset : {0.0, 100.0})
      for (const centering center : {centering::columns, centering::none})
        for (const auto& dimensions : std::vector<std::pair<index, index>>{{3, 3}, {4, 2}, {1, 3}}) {
          const index d_x = dimensions.first,
                      d_y = dimensions.second;  // clang 14 captures no structured bindings
          CAPTURE(noise);
          CAPTURE(offset);
          CAPTURE(d_x);
          data at = related(random, 14, d_x, d_y, noise);
          at.x.array() += offset;
          at.y.array() -= offset;
          const bool centered = center == centering::columns;
          for (const solver method : {solver::automatic, solver::orthogonal}) {
            const auto check = [&](score which) {
              const gradients expected = differences(at.x, at.y, which, centered);
              const gradients result = found(at.x, at.y, which, {.centering = center, .method = method});
              // Differences are right to the square of the step, relative to the curvature.
              check_near(result.x, expected.x, 1e-7);
              check_near(result.y, expected.y, 1e-7);
            };
            check(score::output);
            if (d_x == d_y) check(score::update);
          }
        }
}

TEST_CASE("so they are where the update is small beside the layer, and the other way round") {
  std::mt19937_64 random(2);
  for (const double size : {1e-3, 1.0, 1e3}) {
    data at = related(random, 14, 3, 3, 0.5);
    at.y = at.x + size * at.y;
    for (const score which : {score::output, score::update}) {
      CAPTURE(size);
      const gradients expected = differences(at.x, at.y, which, true), result = found(at.x, at.y, which);
      check_near(result.x, expected.x, 1e-6);
      check_near(result.y, expected.y, 1e-6);
    }
  }
}

/// By the formula, with a factorization in long double.
void check_formula(const data& at, double tolerance, const linearity_options& options = {}) {
  const exact_regression exact = regress_exactly(at.x, at.y);
  long_matrix x = exact_values(at.x), y = exact_values(at.y), update = y - x;
  const long_matrix residual = (y - x * exact.weight).rowwise() - exact.bias;
  center_exactly(y);
  center_exactly(update);
  const auto rounded = [](const long_matrix& m) -> row_major { return m.cast<double>(); };
  const gradients output = found(at.x, at.y, score::output, options),
                  without = found(at.x, at.y, score::update, options);
  const long double u = exact.residual_energy / exact.output_energy, v = exact.residual_energy / exact.update_energy;
  const long_matrix through = residual * exact.weight.transpose();
  check_near(output.x, rounded(2 / exact.output_energy * through), tolerance);
  check_near(output.y, rounded(2 / exact.output_energy * (u * y - residual)), tolerance);
  check_near(without.x, rounded(2 / exact.update_energy * (through - v * update)), tolerance);
  check_near(without.y, rounded(2 / exact.update_energy * (v * update - residual)), tolerance);
}

/// In units of what is promised.
template <class Matrix>
double error_of(const Matrix& x, const Matrix& y, score which, const linearity_options& options = {}) {
  const exact_gradients expected =
      differentiate_in_quad(doubles(x), doubles(y), which == score::update, options.centering == centering::columns);
  gradients result{row_major::Zero(x.rows(), x.cols()), row_major::Zero(y.rows(), y.cols())};
  const double condition =
      (which == score::output ? linearity_and_gradient(x, y, result.x, result.y, 1.0, options)
                              : residual_linearity_and_gradient(x, y, result.x, result.y, 1.0, options))
          .condition;
  return std::min(1e10, 1e15 / condition) * std::max((result.x - expected.x).norm() / expected.x.norm(),
                                                     (result.y - expected.y).norm() / expected.y.norm());
}

TEST_CASE("they are what is promised, in quad precision, whatever the condition, the residual and the offsets") {
  std::mt19937_64 random(11);
  const auto check = [&](const row_major& x, const row_major& y) {
    for (const centering center : {centering::columns, centering::none})
      for (const solver method : {solver::automatic, solver::orthogonal})
        for (const score which : {score::output, score::update}) {
          CAPTURE(which == score::update);
          CAPTURE(center == centering::columns);
          CHECK(error_of(x, y, which, {.centering = center, .method = method}) < 1.0);
        }
  };
  const index n = 60, d = 5;
  for (const double condition : {1.0, 1e2, 1e4, 6e5, 1e7, 1e8})
    for (const double noise : {1.0, 1e-4, 1e-7, 1e-10, 1e-12, 1e-14}) {
      CAPTURE(condition);
      CAPTURE(noise);
      const Eigen::VectorXd values = Eigen::VectorXd::NullaryExpr(
          d, [&](index k) { return std::pow(condition, -static_cast<double>(k) / (static_cast<double>(d) - 1.0)); });
      const row_major x = random_matrix(random, n, d) * values.asDiagonal() * random_orthogonal(random, d);
      const row_major map = random_matrix(random, d, d);
      check(x, x * map + noise * random_matrix(random, n, d));
      check(x, x + 1e-3 * (x * map + noise * random_matrix(random, n, d)));
    }
  for (const double offset : {1e2, 1e5, 1e8})
    for (const double of_y : {0.0, 1.0, -0.3})
      for (const double of_x : {1.0, 0.0})
        for (const double noise : {1.0, 1e-2}) {
          if (of_x == 0.0 && of_y == 0.0) continue;
          CAPTURE(offset);
          CAPTURE(of_x);
          CAPTURE(of_y);
          data at = related(random, n, d, d, noise);
          at.x.array() += of_x * offset, at.y.array() += of_y * offset;
          check(at.x, at.y);
          at.y = at.x + 1e-2 * random_matrix(random, n, d);
          check(at.x, at.y);
          if (offset > 1e7) continue;  // a float holds no more than the offset
          const Eigen::MatrixXf x = at.x.cast<float>(), y = at.y.cast<float>();
          for (const score which : {score::output, score::update}) CHECK(error_of(x, y, which) < 1.0);
        }
  // A first block unlike the rest, and more than one block.
  data at = related(random, 1100, d, d, 0.1);
  at.x.topRows(512).array() += 1e8;
  check(at.x, at.y);
}

TEST_CASE("over several blocks they are the formula's") {
  std::mt19937_64 random(3);
  check_formula(related(random, 1300, 40, 40, 2.0), 1e-12);
}

TEST_CASE("they are accurate where the score alone would do with less") {
  std::mt19937_64 random(10);
  for (const double condition : {1e2, 1e4, 5e6})
    for (const double noise : {1.0, 1e-3}) {
      data at = related(random, 700, 8, 8, 0.0);
      // Singular values from 1 to 1 / condition, in directions of no column's own.
      const row_major turn = Eigen::HouseholderQR<row_major>(random_matrix(random, 8, 8)).householderQ();
      const Eigen::VectorXd values =
          Eigen::VectorXd::NullaryExpr(8, [&](index k) { return std::pow(condition, -static_cast<double>(k) / 7.0); });
      at.x = at.x * values.asDiagonal() * turn;
      at.y = at.x * random_matrix(random, 8, 8) + noise * random_matrix(random, 700, 8);
      CAPTURE(condition);
      CAPTURE(noise);
      for (const solver method : {solver::automatic, solver::orthogonal})
        check_formula(at, std::max(1e-10, 1e-15 * condition), {.method = method});
    }
}

TEST_CASE("what the score does not change under, the gradients are orthogonal to") {
  std::mt19937_64 random(4);
  data at = related(random, 700, 20, 20, 1.0);
  at.x.array() += 5.0;
  const gradients output = found(at.x, at.y, score::output), without = found(at.x, at.y, score::update);
  const double size = output.x.norm() * at.x.norm();
  for (const gradients* g : {&output, &without}) {  // translations
    CHECK(g->x.colwise().sum().norm() < 1e-12 * size);
    CHECK(g->y.colwise().sum().norm() < 1e-12 * size);
  }
  CHECK((at.x.transpose() * output.x).norm() < 1e-12 * size);         // invertible maps of X
  CHECK(std::abs(at.y.cwiseProduct(output.y).sum()) < 1e-12 * size);  // scaling of Y
  const row_major turned = at.y.transpose() * output.y;               // orthogonal maps of Y
  CHECK((turned - turned.transpose()).norm() < 1e-12 * size);
  CHECK(std::abs((at.x.cwiseProduct(without.x) + at.y.cwiseProduct(without.y)).sum()) < 1e-12 * size);  // of both
}

TEST_CASE("they are added, times the factor, to what is asked for, in its own type") {
  std::mt19937_64 random(5);
  const data at = related(random, 60, 5, 7, 1.0);
  const gradients once = found(at.x, at.y, score::output);
  row_major x = row_major::Ones(60, 5);
  Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic> y = Eigen::MatrixXf::Zero(60, 7);
  linearity_and_gradient(at.x, at.y, x, y, -3.0);
  CHECK((x.array() - (1.0 - 3.0 * once.x.array())).abs().maxCoeff() < 1e-15);
  CHECK(y == (-3.0 * once.y).cast<float>());
  row_major only = row_major::Zero(60, 7);
  linearity_and_gradient(at.x, at.y, nullptr, only);
  CHECK(only == once.y);
  linearity_and_gradient(at.x, at.y, only.leftCols(5), nullptr);
  CHECK(only.leftCols(5).isApprox(once.y.leftCols(5) + once.x, 1e-15));
  CHECK(linearity_and_gradient(at.x, at.y, nullptr, nullptr).score == layerwise::linearity_score(at.x, at.y));
}

TEST_CASE("rows that the mask leaves out count for nothing, and keep their gradients") {
  std::mt19937_64 random(6);
  data at = related(random, 40, 3, 3, 1.0);
  std::vector<bool> keep(40, true);
  std::fill_n(keep.begin(), 10, false);
  const token_mask mask(keep);
  const gradients expected = found(at.x.bottomRows(30), at.y.bottomRows(30), score::update);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  at.x.topRows(10).setConstant(nan);
  gradients result{row_major::Zero(40, 3), row_major::Zero(40, 3)};
  result.x.topRows(10).setConstant(7.0);
  residual_linearity_and_gradient(at.x, at.y, result.x, result.y, 1.0, {}, mask);
  CHECK(result.x.bottomRows(30) == expected.x);
  CHECK(result.y.bottomRows(30) == expected.y);
  CHECK((result.x.topRows(10).array() == 7.0).all());
  CHECK((result.y.topRows(10).array() == 0.0).all());
}

TEST_CASE("a score that is 1 whatever Y is has no gradient; dependent columns leave that of Y as it is") {
  std::mt19937_64 random(7);
  const data few = related(random, 5, 8, 8, 1.0);
  const gradients none = found(few.x, few.y, score::output);
  CHECK(none.x.isZero(0.0));
  CHECK(none.y.isZero(0.0));

  data at = related(random, 14, 3, 2, 1.0);
  row_major dependent(14, 5);
  dependent << at.x, 2.0 * at.x.col(1), row_major::Constant(14, 1, 4.0);
  const gradients full = found(at.x, at.y, score::output), result = found(dependent, at.y, score::output);
  check_near(result.y, full.y, 1e-12);
  CHECK(result.x.allFinite());
  CHECK(result.x.col(4).isZero(0.0));
  dependent.resize(14, 3);
  dependent << at.x.leftCols(2), row_major::Constant(14, 1, 4.0);
  const row_major near = dependent + 0.1 * random_matrix(random, 14, 3);  // the update is what is fitted
  CHECK(found(dependent, near, score::output).x.col(2).isZero(0.0));
}

TEST_CASE("huge, tiny and far-off data") {
  std::mt19937_64 random(8);
  const data at = related(random, 60, 4, 4, 1.0);
  const gradients expected = found(at.x, at.y, score::output);
  for (const int power : {-900, -300, 300, 900}) {
    const double scale = std::ldexp(1.0, power);
    const gradients result = found(scale * at.x, at.y / 4.0, score::output);
    CAPTURE(power);
    check_near(std::ldexp(1.0, power) * result.x, expected.x, 1e-13);
    check_near(result.y / 4.0, expected.y, 1e-13);
  }
  const double scale = 0x1p660;  // gradients of their own sizes, though no double holds their ratio
  const gradients apart = found(at.x / scale, scale * at.y, score::output);
  check_near(apart.x / scale, expected.x, 1e-13);
  check_near(scale * apart.y, expected.y, 1e-13);
  data far = at;
  far.x.array() += 1e6, far.y.array() -= 1e6;
  const gradients result = found(far.x, far.y, score::output);
  check_near(result.x, expected.x, 1e-8);
  check_near(result.y, expected.y, 1e-8);
}

TEST_CASE("any finite factor: what is within the range of double comes, the rest is refused and nothing added") {
  std::mt19937_64 random(12);
  const data at = related(random, 30, 3, 3, 0.5);
  for (const score which : {score::output, score::update}) {
    const gradients once = found(at.x, at.y, which);
    const auto call = [&](const row_major& x, const row_major& y, gradients& out, double factor) {
      if (which == score::output)
        linearity_and_gradient(x, y, out.x, out.y, factor);
      else
        residual_linearity_and_gradient(x, y, out.x, out.y, factor);
    };
    const gradients none{row_major::Zero(30, 3), row_major::Zero(30, 3)};
    for (const int power : {-1050, -1000, 0, 700, 1020})
      for (const int size : {-1000, -700, -1, 0, 300, 1000}) {
        CAPTURE(power);
        CAPTURE(size);
        const double scale = std::ldexp(1.0, size);
        gradients result = none;
        const int expected = power - size;  // of two
        if (expected > 1050) {
          CHECK_THROWS_AS(call(scale * at.x, scale * at.y, result, -std::ldexp(1.0, power)),
                          layerwise::non_finite_error);
          CHECK(result.x.isZero(0.0));
          CHECK(result.y.isZero(0.0));
          continue;
        }
        call(scale * at.x, scale * at.y, result, -std::ldexp(1.0, power));
        CHECK(result.x.allFinite());
        CHECK(result.y.allFinite());
        if (expected < -1000) continue;  // numbers of few bits
        check_near(std::ldexp(1.0, -expected) * result.x, -once.x, 1e-12);
        check_near(std::ldexp(1.0, -expected) * result.y, -once.y, 1e-12);
      }
  }
  // Nothing is left to explain: both are 0, whatever the factor.
  for (const double factor : {1e308, -1e308, 5e-324, 0.0}) {
    row_major x = row_major::Zero(30, 3), y = x;
    linearity_and_gradient(at.x, at.x, x, y, factor);
    CHECK(x.isZero(0.0));
    CHECK(y.isZero(0.0));
  }
  // One of the two beyond the range, the other within.
  row_major x = row_major::Zero(30, 3), y = x;
  const double scale = 0x1p-600;
  check_throws<layerwise::non_finite_error>(
      [&] { linearity_and_gradient(row_major(scale * at.x), at.y, x, y, 0x1p600); },
      "a gradient of X within the range of double", found(at.x, at.y, score::output).x(0, 0) > 0 ? "inf" : "-inf",
      "X, row 0, column 0");
  CHECK(y.isZero(0.0));
  linearity_and_gradient(row_major(scale * at.x), at.y, nullptr, y, 0x1p600);
  check_near(scale * y, found(at.x, at.y, score::output).y, 1e-12);
}

TEST_CASE("finite data of any size, shape and rank gives finite gradients or a typed error") {
  std::mt19937_64 random(13);
  int given = 0;
  for (int i = 0; i < 600; ++i) {
    const index n = random_index(random, 1, 9), d = random_index(random, 1, 4);
    const auto any = [&] {
      row_major m = random_matrix(random, n, d);
      const int power = static_cast<int>(random_index(random, -1074, 1020));
      for (index j = 0; j < d; ++j)
        if (i % 3 == 0)
          m.col(j) *= std::ldexp(1.0, static_cast<int>(random_index(random, -1074, 1020)));
        else
          m.col(j) *= std::ldexp(1.0, power);
      if (i % 4 == 1) m.col(0).setConstant(m(0, 0));
      if (i % 5 == 1) m.col(d - 1) = m.col(0);
      return m;
    };
    const row_major x = any(), y = i % 7 == 0 ? x : any();
    const double factor = std::ldexp(1.0, static_cast<int>(random_index(random, -1074, 1023)));
    for (const score which : {score::output, score::update})
      for (const centering center : {centering::columns, centering::none}) {
        CAPTURE(i);
        row_major gx = row_major::Zero(n, d), gy = gx;
        try {
          if (which == score::output)
            linearity_and_gradient(x, y, gx, gy, factor, {.centering = center});
          else
            residual_linearity_and_gradient(x, y, gx, gy, factor, {.centering = center});
          ++given;
        } catch (const layerwise::error&) {
          CHECK(gx.isZero(0.0));
          CHECK(gy.isZero(0.0));
        }
        CHECK(gx.allFinite());
        CHECK(gy.allFinite());
      }
  }
  CHECK(given > 300);
}

TEST_CASE("a wrong call says what was expected, and adds nothing") {
  std::mt19937_64 random(9);
  const data at = related(random, 20, 3, 4, 1.0);
  row_major x = row_major::Zero(20, 3), y = row_major::Zero(20, 3);
  check_throws<layerwise::shape_error>([&] { linearity_and_gradient(at.x, at.y, x, y); }, "a matrix of 20 x 4",
                                       "20 x 3", "gradient of Y");
  check_throws<layerwise::non_finite_error>(
      [&] { linearity_and_gradient(at.x, at.y, x, nullptr, std::numeric_limits<double>::infinity()); },
      "a finite value", "inf", "factor");
  CHECK_THROWS_AS(residual_linearity_and_gradient(at.x, at.y, x, nullptr), layerwise::shape_error);
  CHECK_THROWS_AS(linearity_and_gradient(row_major::Ones(20, 3), at.y, x, nullptr), layerwise::degenerate_input_error);
  CHECK(x.isZero(0.0));
}

}  // namespace
