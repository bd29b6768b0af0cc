#include <layerwise/metrics/linearity.hpp>

#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "linearity_checks.hpp"
#include "support.hpp"

#include <layerwise/data/hidden_states_view.hpp>
#include <layerwise/solve/linear_map.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace {

using layerwise::centering;
using layerwise::cross_moments;
using layerwise::degenerate_input_error;
using layerwise::hidden_states_view;
using layerwise::index;
using layerwise::linear_map;
using layerwise::linearity_options;
using layerwise::linearity_result;
using layerwise::non_finite_error;
using layerwise::option_error;
using layerwise::shape_error;
using layerwise::solver;
using layerwise::strided_view;
using layerwise::token_mask;
using namespace layerwise_test;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

// The library's functions for one type of matrix, to which any expression converts: each pair of types that
// they see takes seconds to compile.
linearity_result linearity(const row_major& x, const row_major& y, const linearity_options& options = {}) {
  return layerwise::linearity(x, y, options);
}
linearity_result residual_linearity(const row_major& x, const row_major& y, const linearity_options& options = {}) {
  return layerwise::residual_linearity(x, y, options);
}
double linearity_score(const row_major& x, const row_major& y, const linearity_options& options = {}) {
  return layerwise::linearity_score(x, y, options);
}
double residual_linearity_score(const row_major& x, const row_major& y, const linearity_options& options = {}) {
  return layerwise::residual_linearity_score(x, y, options);
}
linear_map fit_linear_map(const row_major& x, const row_major& y, const linearity_options& options = {}) {
  return layerwise::fit_linear_map(x, y, options);
}

cross_moments moments_of(const data_pair& data) {
  cross_moments moments;
  moments.add(data.x, data.y);
  return moments;
}

/// Well-conditioned pairs, n on either side of block boundaries, d of tile boundaries.
struct shape {
  index n, d_x, d_y;
};
const std::vector<shape> shapes{{2, 1, 1},       {3, 1, 4},     {40, 7, 7},      {511, 15, 16},   {512, 16, 16},
                                {513, 17, 3},    {600, 64, 65}, {1024, 33, 33},  {1025, 20, 40},  {1536, 5, 5},
                                {300, 191, 192}, {300, 193, 2}, {600, 255, 257}, {520, 256, 256}, {310, 300, 300}};

data_pair ordinary_data(std::mt19937_64& random, const shape& s, double offset = 3.0) {
  return make_data(random, {.n = s.n, .d_x = s.d_x, .d_y = s.d_y, .condition = 3.0, .offset = offset});
}

TEST_CASE("every field and the fitted map, against long double, over many shapes") {
  std::mt19937_64 random(1);
  for (const shape& s : shapes)
    for (const centering center : {centering::columns, centering::none}) {
      const data_pair data = ordinary_data(random, s);
      const linearity_options options{.centering = center};
      const exact_regression exact = regress_exactly(data.x, data.y, center == centering::columns);
      const linearity_result result = linearity(data.x, data.y, options);
      CAPTURE(s.n);
      CAPTURE(s.d_x);
      CAPTURE(s.d_y);

      const double score = static_cast<double>(exact.score());
      const index freedom = center == centering::columns ? s.n - 1 : s.n;
      CHECK(std::abs(result.score - score) < 1e-12);
      CHECK(result.error_bound < 1e-8);
      CHECK(result.error_bound > 0.0);
      CHECK(result.rank == exact.rank);
      CHECK(result.rank == std::min(freedom, s.d_x));
      CHECK(result.tokens == s.n);
      CHECK(result.x_dimensions == s.d_x);
      CHECK(result.y_dimensions == s.d_y);
      CHECK(result.underdetermined == (s.d_x >= freedom));
      CHECK(result.chance_floor == static_cast<double>(result.rank) / static_cast<double>(freedom));
      CHECK(result.discarded_energy < 1e-25);
      if (result.underdetermined) {
        CHECK(result.score == 1.0);
        CHECK(result.adjusted_score == 0.0);
      } else {
        const double left = static_cast<double>(freedom - result.rank);
        CHECK(std::abs(result.adjusted_score - (1.0 - (1.0 - score) * static_cast<double>(freedom) / left)) < 1e-10);
      }

      if (s.d_x < freedom) {
        const linear_map map = fit_linear_map(data.x, data.y, options);
        const double size = static_cast<double>(exact.weight.cwiseAbs().maxCoeff());
        CHECK((exact_values(map.weight) - exact.weight).cwiseAbs().maxCoeff() < 1e-10 * size);
        if (center == centering::columns)
          CHECK((exact_values(map.bias) - exact.bias).cwiseAbs().maxCoeff() < 1e-9 * std::max(1.0, size));
        else
          CHECK(map.bias.cwiseAbs().maxCoeff() == 0.0);
      }
    }
}

TEST_CASE("residual linearity, against long double and by its identity with the score") {
  std::mt19937_64 random(2);
  for (const double level : {1.0, 1e-2, 1e-5})
    for (const index d : {1, 9, 40}) {
      const data_pair data = make_data(
          random, {.n = 600, .d_x = d, .d_y = d, .target = target_kind::update, .level = level, .offset = 1.0});
      const exact_regression exact = regress_exactly(data.x, data.y);
      const linearity_result plain = linearity(data.x, data.y), residual = residual_linearity(data.x, data.y);
      CAPTURE(level);
      CAPTURE(d);
      CHECK(std::abs(plain.score - static_cast<double>(exact.score())) < 1e-13);
      CHECK(std::abs(residual.score - static_cast<double>(exact.residual_score())) < 1e-10);
      const double ratio = static_cast<double>(exact.output_energy / exact.update_energy);
      CHECK(std::abs(residual.score - (1.0 - (1.0 - plain.score) * ratio)) < 1e-14 * ratio + 1e-12);
      CHECK(std::abs(residual.score - linearity_score(data.x, data.y - data.x)) < 1e-10);
      CHECK(residual.rank == d);
      CHECK(residual_linearity_score(data.x, data.y) == residual.score);
    }
}

TEST_CASE("the scores do not change under the maps that must not change them") {
  std::mt19937_64 random(3);
  for (int trial = 0; trial < 40; ++trial) {
    const index d = random_index(random, 1, 30), d_y = random_index(random, 1, 30);
    const index n = random_index(random, d + 2, 700);
    const data_pair data = ordinary_data(random, {n, d, d_y});
    const row_major& x = data.x;
    const row_major& y = data.y;
    const linearity_options options{.centering = trial % 3 == 0 ? centering::none : centering::columns};
    const auto score = [&](const row_major& a, const row_major& b) { return linearity_score(a, b, options); };
    const double expected = score(x, y);
    const auto same = [&](double other, double tolerance = 1e-12) { return std::abs(other - expected) < tolerance; };
    CAPTURE(n);
    CAPTURE(d);
    CAPTURE(d_y);

    CHECK(same(score(x * random_invertible(random, d), y)));
    CHECK(same(score(x, y * random_orthogonal(random, d_y))));
    for (const double scale : {1e-150, 1e150, -3.0, 1e-300, 1e300}) {
      CHECK(same(score(x * scale, y)));
      CHECK(same(score(x, y * scale)));
      CHECK(same(score(x * scale, y * scale)));
    }
    std::vector<index> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    CHECK(same(score(rows_of(x, order), rows_of(y, order))));
    if (options.centering == centering::columns) {
      const Eigen::RowVectorXd far_x = 1e6 * random_matrix(random, 1, d), far_y = 1e6 * random_matrix(random, 1, d_y);
      CHECK(same(score(x.rowwise() + far_x, y.rowwise() + far_y), 1e-8));
    } else {
      CHECK(std::abs(score((x.array() + 10.0).matrix(), y) - expected) > 1e-6);  // without centring an offset counts
    }

    if (d != d_y) continue;
    const double residual = residual_linearity_score(x, y, options);
    const row_major turn = random_orthogonal(random, d);
    const auto same_residual = [&](const row_major& a, const row_major& b) {
      return std::abs(residual_linearity_score(a, b, options) - residual) < 1e-12;
    };
    CHECK(same_residual(x * turn, y * turn));
    CHECK(same_residual(x * 1e150, y * 1e150));
    CHECK(same_residual(x * 1e-150, y * 1e-150));
  }
}

TEST_CASE("a scale by a power of two changes no bit, whatever squares do") {
  std::mt19937_64 random(4);
  const data_pair data = ordinary_data(random, {600, 9, 9});
  for (const solver method : {solver::cholesky, solver::orthogonal, solver::rank_revealing}) {
    const linearity_options options{.method = method};
    const linearity_result plain = linearity(data.x, data.y, options);
    const linearity_result residual = residual_linearity(data.x, data.y, options);
    for (const int power : {-900, -500, 500, 1000}) {
      CAPTURE(power);
      const row_major x = data.x * std::ldexp(1.0, power), y = data.y * std::ldexp(1.0, power);
      check_identical(linearity(x, y, options), plain);
      check_identical(residual_linearity(x, y, options), residual);
    }
  }
}

TEST_CASE("values of either sign near the largest double") {
  std::mt19937_64 random(5);
  const data_pair data = make_data(random, {.n = 700, .d_x = 5, .d_y = 5});
  const row_major x = data.x / data.x.cwiseAbs().maxCoeff(), y = data.y / data.y.cwiseAbs().maxCoeff();
  const double largest = std::numeric_limits<double>::max();
  CHECK(std::abs(linearity_score(x * largest, -y * largest) - linearity_score(x, y)) < 1e-13);
  CHECK(std::abs(residual_linearity_score(x * largest, -y * largest) - residual_linearity_score(x, -y)) < 1e-13);
  const row_major wide = row_major::Constant(700, 5, largest);
  CHECK_THROWS_AS(linearity_score(wide, y), const degenerate_input_error&);
}

TEST_CASE("every layout, scalar type and view gives the numbers of its values, to the last bit") {
  std::mt19937_64 random(6);
  const index n = 530, d = 6;
  const data_pair data = ordinary_data(random, {n, d, d}, 0.5);
  const Eigen::MatrixXf x = data.x.cast<Eigen::bfloat16>().cast<float>(),
                        y = data.y.cast<Eigen::bfloat16>().cast<float>();
  for (const solver method : {solver::cholesky, solver::orthogonal}) {
    const linearity_options options{.method = method};
    const row_major x_rows = x.cast<double>(), y_rows = y.cast<double>();
    const linearity_result expected = linearity(x_rows, y_rows, options);
    const linearity_result residual = residual_linearity(x_rows, y_rows, options);
    const auto agrees = [&](const auto& a, const auto& b) {
      check_identical(layerwise::linearity(a, b, options), expected);
      check_identical(layerwise::residual_linearity(a, b, options), residual);
    };
    agrees(x, y.cast<double>());  // by columns, and a lazy expression
    using bfloat16_matrix = Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic>;
    const bfloat16_matrix x_brief = x.cast<Eigen::bfloat16>(), y_brief = y.cast<Eigen::bfloat16>();
    agrees(x_brief, y);
    const auto* bits = reinterpret_cast<const std::uint16_t*>(y_brief.data());
    agrees(x, strided_view<const Eigen::bfloat16>(layerwise::from_bits<Eigen::bfloat16>(bits), n, d, 1, n));

    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> stack(2 * n,
                                                                                d);  // [layer][token][dim]
    stack << x, y;
    const auto layers = hidden_states_view<const float>::layer_major(stack.data(), 2, n, d);
    agrees(layers[0], layers[1]);
    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> slices(n, 2 * d);  // [token][layer][dim]
    slices << x, y;
    const auto tokens = hidden_states_view<const float>::token_major(slices.data(), n, 2, d);
    agrees(tokens[0], tokens[1]);
    agrees(slices.leftCols(d), slices.rightCols(d));
    agrees(Eigen::Map<const Eigen::MatrixXf, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>(
               slices.data(), n, d, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>(1, 2 * d)),
           y);
  }
  using half_matrix = Eigen::Matrix<Eigen::half, Eigen::Dynamic, Eigen::Dynamic>;
  const half_matrix x_half = data.x.cast<Eigen::half>(), y_half = data.y.cast<Eigen::half>();
  check_identical(layerwise::linearity(x_half, y_half), linearity(x_half.cast<double>(), y_half.cast<double>()));
  // A product is evaluated once, to the same numbers as its value.
  const Eigen::MatrixXd turn = random_orthogonal(random, d);
  check_identical(layerwise::linearity(data.x * turn, data.y), linearity(data.x * turn, data.y));
}

TEST_CASE("one thread and two give the same numbers, to the last bit") {
  std::mt19937_64 random(7);
  for (const shape& s : {shape{530, 40, 40}, {1030, 193, 70}, {700, 300, 300}, {200, 260, 260}})
    for (const solver method : {solver::automatic, solver::orthogonal, solver::rank_revealing}) {
      const data_pair data = ordinary_data(random, s);
      const linearity_options options{.method = method};
      const auto measure = [&] { return linearity(data.x, data.y, options); };
      const auto fit = [&] { return fit_linear_map(data.x, data.y, options); };
      check_identical(with_threads(1, measure), with_threads(2, measure));
      const linear_map map = with_threads(1, fit);
      check_identical(map, with_threads(2, fit));
      const auto apply = [&] { return map(data.x); };
      CHECK(with_threads(1, apply) == with_threads(2, apply));
    }
}

TEST_CASE("moments give the numbers of the data, map included") {
  std::mt19937_64 random(10);
  const data_pair data = ordinary_data(random, {700, 11, 11});
  const cross_moments moments = moments_of(data);
  for (const centering center : {centering::columns, centering::none}) {
    const linearity_options options{.centering = center};
    check_identical(linearity(moments, options), linearity(data.x, data.y, options));
    check_identical(residual_linearity(moments, options), residual_linearity(data.x, data.y, options));
    check_identical(fit_linear_map(moments, options), fit_linear_map(data.x, data.y, options));
    CHECK(linearity_score(moments, options) == linearity(moments, options).score);
    CHECK(residual_linearity_score(moments, options) == residual_linearity(moments, options).score);
  }
}

TEST_CASE("a mask is the same as leaving out the rows by hand, to the last bit") {
  std::mt19937_64 random(11);
  for (const index n : {5, 60, 530, 1500})
    for (const double density : {0.2, 0.6, 0.95}) {
      data_pair data = ordinary_data(random, {n, 4, 4});
      std::vector<bool> keep;
      std::vector<index> kept;
      for (index i = 0; i < n; ++i) {
        keep.push_back(i < 3 || std::bernoulli_distribution(density)(random));
        if (keep.back())
          kept.push_back(i);
        else
          data.x.row(i).setConstant(nan), data.y(i, 2) = infinity;  // what is left out may be anything
      }
      const row_major x = rows_of(data.x, kept), y = rows_of(data.y, kept);
      for (const solver method : {solver::automatic, solver::orthogonal, solver::rank_revealing}) {
        const linearity_options options{.method = method};
        const token_mask mask(keep);
        check_identical(linearity(data.x, data.y, options, mask), linearity(x, y, options));
        check_identical(residual_linearity(data.x, data.y, options, mask), residual_linearity(x, y, options));
        check_identical(fit_linear_map(data.x, data.y, options, mask), fit_linear_map(x, y, options));
      }
    }
}

TEST_CASE("n <= d explains anything and says so; n = d + 2 does not") {
  std::mt19937_64 random(12);
  for (const index d : {1, 2, 5, 60})
    for (index n = 2; n <= d + 3; n += std::max<index>(1, d / 8)) {
      const data_pair data = make_data(random, {.n = n, .d_x = d, .d_y = d, .target = target_kind::independent});
      CAPTURE(n);
      CAPTURE(d);
      for (const centering center : {centering::columns, centering::none}) {
        const index freedom = center == centering::columns ? n - 1 : n;
        for (const bool from_data : {true, false})
          for (const solver method : {solver::automatic, solver::rank_revealing}) {
            const linearity_options options{.centering = center, .method = method};
            const linearity_result r =
                from_data ? linearity(data.x, data.y, options) : linearity(moments_of(data), options);
            CHECK(r.rank == std::min(d, freedom));
            CHECK(r.underdetermined == (r.rank >= freedom));
            if (d >= freedom) {
              CHECK(r.score == 1.0);
              CHECK(r.chance_floor == 1.0);
              CHECK(r.adjusted_score == 0.0);
            } else {
              CHECK(r.score < 1.0);
              CHECK(r.chance_floor < 1.0);
            }
          }
      }
    }
}

TEST_CASE("independent data scores the chance floor on average, and 0 adjusted") {
  std::mt19937_64 random(13);
  double score = 0.0, adjusted = 0.0;
  const int trials = 40;
  for (int trial = 0; trial < trials; ++trial) {
    const linearity_result r = linearity(random_matrix(random, 100, 20), random_matrix(random, 100, 20));
    CHECK(r.chance_floor == 20.0 / 99.0);
    score += r.score / trials, adjusted += r.adjusted_score / trials;
  }
  CHECK(std::abs(score - 20.0 / 99.0) < 0.01);
  CHECK(std::abs(adjusted) < 0.01);
}

TEST_CASE("Y = X scores 1, and has no residual to explain") {
  std::mt19937_64 random(14);
  const row_major x = ordinary_data(random, {100, 6, 6}).x;
  for (const centering center : {centering::columns, centering::none}) {
    const linearity_result r = linearity(x, x, {.centering = center});
    CHECK(r.score == 1.0);
    CHECK(r.adjusted_score == 1.0);
    CHECK_FALSE(r.underdetermined);
    const linear_map map = fit_linear_map(x, x, {.centering = center});
    CHECK((map.weight - Eigen::MatrixXd::Identity(6, 6)).cwiseAbs().maxCoeff() < 1e-13);
    CHECK(map.bias.cwiseAbs().maxCoeff() < 1e-12);
  }
  check_throws<degenerate_input_error>([&] { residual_linearity(x, x); }, "rows that differ", "no variance",
                                       "after - before");
  check_throws<degenerate_input_error>([&] { residual_linearity(x, x, {.centering = centering::none}); },
                                       "an element other than 0", "no variance", "after - before");
  // An update that is the same for all tokens has no variance either; powers of two keep the difference
  // exact.
  const row_major coarse = (x * 1024.0).array().round() / 1024.0;
  check_throws<degenerate_input_error>([&] { residual_linearity(coarse, (coarse.array() + 0.5).matrix()); },
                                       "rows that differ", "no variance", "after - before");
}

TEST_CASE("constant matrices have no variance; without centring, only zeros") {
  std::mt19937_64 random(15);
  const row_major x = random_matrix(random, 30, 3), constant = row_major::Constant(30, 3, 0.1),
                  zero = row_major::Zero(30, 3);
  const auto none = [&](const auto& call, const char* expected, const char* place) {
    check_throws<degenerate_input_error>(call, expected, "no variance", place);
  };
  const linearity_options raw{.centering = centering::none};
  none([&] { linearity(constant, x); }, "rows that differ", "X");
  none([&] { linearity(x, constant); }, "rows that differ", "Y");
  none([&] { linearity(zero, x, raw); }, "an element other than 0", "X");
  none([&] { linearity(x, zero, raw); }, "an element other than 0", "Y");
  none([&] { residual_linearity(constant, x); }, "rows that differ", "before");
  none([&] { fit_linear_map(x, constant); }, "rows that differ", "Y");
  none([&] { fit_linear_map(constant, x); }, "rows that differ", "X");
  none([&] { linearity(x.topRows(1), x.topRows(1)); }, "rows that differ", "X");
  CHECK(linearity(constant, x, raw).rank == 1);
  CHECK(linearity(x.topRows(1), x.topRows(1), raw).underdetermined);
  // The residual of a constant output is -X.
  CHECK(residual_linearity(x, constant).score == 1.0);
}

TEST_CASE("columns without variance change nothing") {
  std::mt19937_64 random(16);
  const data_pair data = ordinary_data(random, {100, 5, 4});
  row_major wide(100, 8);
  wide << row_major::Constant(100, 1, 0.1), data.x, row_major::Zero(100, 1), row_major::Constant(100, 1, -1e9);
  for (const solver method : {solver::cholesky, solver::orthogonal, solver::rank_revealing}) {
    const linearity_result r = linearity(wide, data.y, {.method = method});
    CHECK(std::abs(r.score - linearity_score(data.x, data.y)) < 1e-14);
    CHECK(r.rank == 5);
    const linear_map map = fit_linear_map(wide, data.y, {.method = method});
    CHECK(map.weight.row(0).cwiseAbs().maxCoeff() == 0.0);
    CHECK(map.weight.row(6).cwiseAbs().maxCoeff() == 0.0);
    CHECK(map.weight.row(7).cwiseAbs().maxCoeff() == 0.0);
  }
}

TEST_CASE("shapes that do not fit are refused") {
  const row_major x = row_major::Random(5, 3), y = row_major::Random(6, 3), wide = row_major::Random(5, 4);
  check_throws<shape_error>([&] { linearity(x, y); }, "5 rows, as in X", "6 x 3", "Y");
  check_throws<shape_error>([&] { fit_linear_map(x, y); }, "5 rows, as in X", "6 x 3", "Y");
  check_throws<shape_error>([&] { residual_linearity(x, y); }, "a matrix of 5 x 3", "6 x 3", "after");
  check_throws<shape_error>([&] { residual_linearity(x, wide); }, "a matrix of 5 x 3", "5 x 4", "after");
  cross_moments moments;
  moments.add(x, wide);
  check_throws<shape_error>([&] { residual_linearity(moments); }, "3 columns, as in before", "4", "after");
  const row_major empty(0, 3), narrow(5, 0);
  check_throws<degenerate_input_error>([&] { linearity(empty, empty); }, "a matrix with rows and columns", "0 x 3",
                                       "X");
  check_throws<degenerate_input_error>([&] { linearity(x, narrow); }, "a matrix with rows and columns", "5 x 0", "Y");
  check_throws<degenerate_input_error>([&] { residual_linearity(empty, empty); }, "a matrix with rows and columns",
                                       "0 x 3", "before");
}

TEST_CASE("NaN and infinity are refused, with their place") {
  std::mt19937_64 random(17);
  const row_major clean = random_matrix(random, 700, 4);
  for (const double bad : {nan, infinity, -infinity})
    for (const index row : {0, 511, 512, 699}) {
      row_major x = clean;
      x(row, 2) = bad;
      const std::string got = std::isnan(bad) ? "nan" : bad > 0.0 ? "inf" : "-inf";
      const auto at = [&](const char* operand) {
        return std::string(operand) + ", row " + std::to_string(row) + ", column 2";
      };
      check_throws<non_finite_error>([&] { linearity(x, clean); }, "finite values", got, at("X"));
      check_throws<non_finite_error>([&] { linearity(clean, x); }, "finite values", got, at("Y"));
      check_throws<non_finite_error>([&] { residual_linearity(x, clean); }, "finite values", got, at("before"));
      check_throws<non_finite_error>([&] { residual_linearity(clean, x); }, "finite values", got, at("after"));
      check_throws<non_finite_error>([&] { fit_linear_map(x, clean); }, "finite values", got, at("X"));
    }
}

TEST_CASE("options without meaning are refused") {
  std::mt19937_64 random(18);
  const data_pair data = ordinary_data(random, {20, 3, 3});
  const cross_moments moments = moments_of(data);
  const auto with_tolerance = [&](double tolerance) {
    return [&, tolerance] { linearity(data.x, data.y, {.tolerance = tolerance}); };
  };
  check_throws<option_error>(with_tolerance(nan), "a finite tolerance >= 0", "nan", "linearity_options");
  check_throws<option_error>(with_tolerance(infinity), "a finite tolerance >= 0", "inf", "linearity_options");
  check_throws<option_error>(with_tolerance(-1.0), "a finite tolerance >= 0", "-1", "linearity_options");
  check_throws<option_error>([&] { linearity(moments, {.tolerance = nan}); }, "a finite tolerance >= 0", "nan",
                             "linearity_options");
  check_throws<option_error>([&] { linearity(moments, {.method = solver::orthogonal}); },
                             "a method that works on moments", "solver::orthogonal, which needs the data",
                             "linearity_options");
  const token_mask shorter(std::vector<bool>(19, true)), nothing(std::vector<bool>(20, false));
  check_throws<shape_error>([&] { linearity(data.x, data.y, {}, shorter); }, "a mask of 20 tokens", "19", "token_mask");
  check_throws<degenerate_input_error>([&] { linearity(data.x, data.y, {}, nothing); }, "at least one token", "none",
                                       "X");
  check_throws<degenerate_input_error>([&] { linearity(cross_moments(), {}); }, "at least one token", "none", "X");
  check_throws<degenerate_input_error>([&] { residual_linearity(cross_moments()); }, "at least one token", "none",
                                       "before");
  check_throws<degenerate_input_error>([&] { fit_linear_map(cross_moments()); }, "at least one token", "none", "X");
}

TEST_CASE("solver::cholesky refuses dependent columns; the others handle them") {
  std::mt19937_64 random(19);
  const data_pair data = make_data(random, {.n = 100, .d_x = 6, .d_y = 6, .duplicates = 1});
  check_throws<degenerate_input_error>([&] { linearity(data.x, data.y, {.method = solver::cholesky}); },
                                       "linearly independent columns, as solver::cholesky needs",
                                       "columns that are dependent within rounding", "X");
  const double expected = static_cast<double>(regress_exactly(data.x, data.y).score());
  for (const solver method : {solver::automatic, solver::orthogonal, solver::rank_revealing}) {
    const linearity_result r = linearity(data.x, data.y, {.method = method});
    CHECK(r.rank == 5);
    CHECK(std::abs(r.score - expected) < 1e-13);
  }
}

}  // namespace
