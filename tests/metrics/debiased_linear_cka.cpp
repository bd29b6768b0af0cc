#include <layerwise/metrics/debiased_linear_cka.hpp>

#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "laws/pair_metric_laws.hpp"
#include "support.hpp"

#include <layerwise/statistics/stack_moments.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace {

using layerwise::centering;
using layerwise::cross_moments;
using layerwise::debiased_cka;
using layerwise::debiased_linear_cka;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::linear_cka;
using layerwise::option_error;
using layerwise::second_moments;
using layerwise::shape_error;
using namespace layerwise_test;

/// n (n - 3) HSIC_1 of Song et al. (2012), as it stands there, of n x n kernels.
long double unbiased_hsic(long_matrix k, long_matrix l) {
  const auto n = static_cast<long double>(k.rows());
  k.diagonal().setZero();
  l.diagonal().setZero();
  return k.cwiseProduct(l).sum() + k.sum() * l.sum() / ((n - 1) * (n - 2)) -
         2 / (n - 2) * k.colwise().sum().dot(l.colwise().sum());
}

double by_kernels(const row_major& data_x, const row_major& data_y) {
  long_matrix x = exact_values(data_x), y = exact_values(data_y);
  center_exactly(x);  // which the estimator does not change under, but its rounding does
  center_exactly(y);
  const long_matrix k = x * x.transpose(), l = y * y.transpose();
  return static_cast<double>(unbiased_hsic(k, l) / std::sqrt(unbiased_hsic(k, k) * unbiased_hsic(l, l)));
}

struct debiased_alignment {
  auto operator()(const auto& x, const auto& y, const layerwise::token_mask& mask = {}) const {
    return debiased_cka(x, y, mask);
  }
  auto operator()(const cross_moments& moments) const { return debiased_cka(moments); }
};

cross_moments moments_of(const row_major& x, const row_major& y) {
  cross_moments moments(second_moments::both);
  moments.add(x, y);
  return moments;
}

TEST_CASE("debiased CKA: what changes it and what does not") {
  check_pair_metric(debiased_alignment(), {.rotation_x = true, .rotation_y = true, .scale = true, .shift = true},
                    [] { return cross_moments(second_moments::both); });
}

TEST_CASE("worked value: five tokens of two dimensions") {
  const auto [x, y] = worked_pair();
  CHECK(debiased_linear_cka(x, y) == near(0.8793403033509108, 1e-14));
  CHECK(debiased_cka(x, y).tokens == 5);
  CHECK(debiased_cka(x, y).error_bound < 1e-11);
  const auto energies = moments_of(x, y).scatter().energies;
  CHECK(energies.xy / (energies.x_scale * energies.x_scale * energies.y_scale * energies.y_scale) ==
        near(92.776, 1e-12));
}

TEST_CASE(
    "the estimator of Song et al. in numerator and denominators: where others take the biased one, or no sums of "
    "rows") {
  const auto [x, y] = worked_pair();
  long_matrix of_x = exact_values(x), of_y = exact_values(y);
  center_exactly(of_x);
  center_exactly(of_y);
  long_matrix k = of_x * of_x.transpose(), l = of_y * of_y.transpose();
  const long double over_biased = unbiased_hsic(k, l) / 10 / (k.norm() * l.norm() / 16);  // n (n - 3), (n - 1)^2
  CHECK(static_cast<double>(over_biased) == near(0.5811, 1e-3));
  k.diagonal().setZero();
  l.diagonal().setZero();
  const long double off_diagonal = k.cwiseProduct(l).sum() / (k.norm() * l.norm());
  CHECK(static_cast<double>(off_diagonal) != near(0.8793403033509108, 1e-3));
  CHECK(debiased_linear_cka(x, y) == near(0.8793403033509108, 1e-14));
}

TEST_CASE("Song's formula by kernels, in long double, within the bound: widths, offsets, closeness and scale") {
  std::mt19937_64 random(1);
  for (const index n : {5, 40, 600})
    for (const double offset : {0.0, 1e4})
      for (const double noise : {1e-7, 0.3, 10.0}) {
        const row_major x = random_matrix(random, n, 6).array() + offset;
        const row_major same = x + noise * random_matrix(random, n, 6), wide = same * random_matrix(random, 6, 9);
        for (const row_major& y : {same, wide}) {
          const double expected = by_kernels(x, y);
          for (const double scale : {1.0, 0x1p400, 0x1p-400, 0x1p600, 0x1p-600}) {
            const auto result = debiased_cka(row_major(x * scale), row_major(y / scale));
            CAPTURE(n);
            CAPTURE(offset);
            CAPTURE(noise);
            CAPTURE(scale);
            CHECK(std::abs(result.score - expected) <= result.error_bound + 1e-16);
            CHECK(result.error_bound < 1e-10);
          }
        }
      }
}

TEST_CASE("independent data scores about 0, where the biased score is 0.9; equal data 1") {
  std::mt19937_64 random(2);
  const row_major x = random_matrix(random, 64, 512), y = random_matrix(random, 64, 512);
  CHECK(linear_cka(x, y) > 0.85);
  CHECK(std::abs(debiased_linear_cka(x, y)) < 0.03);
  CHECK(debiased_linear_cka(x, y) == near(by_kernels(x, y), 1e-12));
  CHECK(debiased_linear_cka(x, x) == near(1.0, 1e-13));
}

TEST_CASE("merges in any order, of parts about other means and of other sizes, within the bound") {
  std::mt19937_64 random(3);
  for (const double offset : {0.0, 3.0, 1e3})
    for (const double noise : {0.1, 30.0})
      for (const double growth : {1.0, 0x1p40, 0x1p-300}) {
        row_major x = random_matrix(random, 900, 5), y = x + noise * random_matrix(random, 900, 5);
        // The later parts lie elsewhere, and are larger or smaller.
        x.bottomRows(350).array() += offset, y.bottomRows(480).array() -= offset;
        x.bottomRows(240) *= growth, y.bottomRows(240) *= growth;
        const double expected = by_kernels(x, y);
        const auto part = [&](index first, index count) {
          return moments_of(x.middleRows(first, count), y.middleRows(first, count));
        };
        cross_moments forward = part(0, 250), back = part(780, 120);
        forward.merge(part(250, 530));
        forward.merge(part(780, 120));
        back.merge(part(250, 530));
        back.merge(part(0, 250));
        for (const cross_moments& all : {forward, back}) {
          const auto result = debiased_cka(all);
          CAPTURE(offset);
          CAPTURE(noise);
          CAPTURE(growth);
          CHECK(std::abs(result.score - expected) <= result.error_bound + 1e-16);
          CHECK(result.error_bound < 1e-9);
        }
      }
}

TEST_CASE("of any pair of a stack: bits of the pair alone, and symmetric") {
  std::mt19937_64 random(4);
  std::vector<row_major> states{random_matrix(random, 1300, 6)};
  for (int l = 1; l <= 3; ++l) states.push_back(states.back() + random_matrix(random, 1300, 6));
  layerwise::stack_moments moments{layerwise::layer_pairs({{0, 1}, {2, 0}, {3, 1}, {2, 3}})};
  moments.add(states);
  const auto state = [&](index l) { return states[static_cast<std::size_t>(l)]; };
  for (const auto& [from, to] : moments.pairs().of(4)) {
    const auto result = debiased_cka(moments.pair(from, to));
    check_identical(result, debiased_cka(state(from), state(to)));
    CHECK(debiased_linear_cka(state(to), state(from)) == near(result.score, 1e-13));
  }
}

TEST_CASE("a layer of zeros first, and data that grows later") {
  std::mt19937_64 random(5);
  row_major x = random_matrix(random, 1600, 3), y = random_matrix(random, 1600, 4);
  x.topRows(700).setZero();
  y.topRows(600) *= 0x1p-700;
  x.bottomRows(400) *= 0x1p500;
  const auto result = debiased_cka(x, y);
  CHECK(std::abs(result.score - by_kernels(x, y)) <= result.error_bound + 1e-16);
}

TEST_CASE("errors say what was expected; too few tokens are undefined, not NaN") {
  std::mt19937_64 random(6);
  const row_major x = random_matrix(random, 20, 3), y = random_matrix(random, 20, 2);
  cross_moments input;
  input.add(x, y);
  check_throws<option_error>([&] { debiased_linear_cka(input); }, "moments of both (see second_moments::both)",
                             "moments of the input", "debiased_linear_cka");
  check_throws<option_error>([&] { debiased_cka(moments_of(x, y).scatter(centering::none)); },
                             "moments about the means", "centering::none", "debiased_linear_cka");
  check_throws<degenerate_input_error>([&] { debiased_linear_cka(x.topRows(3), y.topRows(3)); }, "4 tokens", "3",
                                       "debiased_linear_cka");
  check_throws<degenerate_input_error>([&] { debiased_linear_cka(x, row_major::Constant(20, 2, 0.1)); },
                                       "rows that differ", "no variance", "Y");
  // Four points at the corners of a square: K is 0 off its diagonal or -1, and HSIC_1(X, X) is 0.
  const row_major corners = row_major::Identity(4, 4);
  CHECK_THROWS_WITH_AS(debiased_linear_cka(corners, y.topRows(4)), doctest::Contains("HSIC"), degenerate_input_error);
  check_throws<shape_error>([&] { debiased_linear_cka(x, y.topRows(19)); }, "20 rows, as in X", "19 x 2", "Y");
}

TEST_CASE("a spread that vanishes beside an offset is refused, or its bound says what underflow took") {
  std::mt19937_64 random(7);
  const row_major y = random_matrix(random, 300, 3);
  for (const double offset : {1e60, 1e70, 1e80, 1e100}) {
    CAPTURE(offset);
    row_major x = random_matrix(random, 300, 3);
    const double expected = by_kernels(x.rightCols(2), y);
    x.col(0).setConstant(offset);
    try {
      const auto result = debiased_cka(x, y);
      CHECK(std::abs(result.score - expected) <= result.error_bound);
    } catch (const degenerate_input_error& e) {
      CHECK(offset > 1e60);
      CHECK(std::string(e.what()).find("HSIC") != std::string::npos);
    }
  }
}

}  // namespace
