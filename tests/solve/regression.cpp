#include <layerwise/solve/detail/regression.hpp>

#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "support.hpp"

#include <layerwise/metrics/linearity.hpp>
#include <layerwise/profile.hpp>
#include <layerwise/solve/linear_map.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <Eigen/SVD>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using layerwise::centering;
using layerwise::cross_moments;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::linearity_options;
using layerwise::linearity_result;
using layerwise::solver;
using namespace layerwise_test;

/// Where a score is taken from, by which solver, to what tolerance.
struct way {
  enum { data, moments, merged } from;
  solver method;
  double tolerance = 1e-8;
};
const std::vector<way> ways{{way::data, solver::automatic},       {way::data, solver::cholesky},
                            {way::data, solver::cholesky, 0.0},  // always corrected by the residual
                            {way::data, solver::orthogonal},      {way::data, solver::rank_revealing},
                            {way::moments, solver::automatic},    {way::moments, solver::rank_revealing},
                            {way::merged, solver::automatic},     {way::merged, solver::cholesky},
                            {way::merged, solver::rank_revealing}};

/// Random parts, merged pairwise in random order.
template <class Matrix>
cross_moments random_merges(std::mt19937_64& random, const Matrix& x, const Matrix& y) {
  std::vector<cross_moments> parts;
  index first = 0;
  for (const index length : random_split(random, x.rows(), x.rows())) {
    parts.emplace_back().add(x.middleRows(first, length), y.middleRows(first, length));
    first += length;
  }
  while (parts.size() > 1) {
    std::shuffle(parts.begin(), parts.end(), random);
    const cross_moments last = parts.back();
    parts.pop_back();
    parts.back().merge(last);
  }
  return parts.front();
}

/// error_bound over the true error, for the report; and the largest error where the data was at hand.
struct looseness {
  std::map<solver, std::vector<double>> ratios;
  double worst_error = 0.0;

  void report() {
    const std::map<solver, const char*> names{
        {solver::cholesky, "cholesky"}, {solver::orthogonal, "orthogonal"}, {solver::rank_revealing, "rank_revealing"}};
    for (auto& [method, all] : ratios) {
      std::sort(all.begin(), all.end());
      MESSAGE("bound / error by ", std::string(names.at(method)), ": ", all.size(), " scores, least ", all.front(),
              ", median ", all[all.size() / 2], ", 99 % below ", all[all.size() * 99 / 100], ", most ", all.back());
    }
    MESSAGE("largest error with the data at hand: ", worst_error);
  }
};

/// Both scores of one pair by every way, against the exact ones.
template <class Scalar>
void check_certificate(std::mt19937_64& random, const hard_case& c, double accuracy, looseness& seen) {
  const cast_pair<Scalar> data(make_data(random, c));
  const centering center = random_index(random, 0, 3) == 0 ? centering::none : centering::columns;
  // Long double is better than the certificate up to a condition of 1e4.
  const auto reference = c.condition > 1e4 ? regress_in_quad : regress_exactly;
  const exact_regression exact = reference(doubles(data.x), doubles(data.y), center == centering::columns);
  if (exact.output_energy == 0 || exact.rank == 0) return;
  const std::string scalar = typeid(Scalar).name();
  CAPTURE(c);
  CAPTURE(scalar);

  const auto check = [&](const way& by, const linearity_result& result, long double expected) {
    const long double error = std::abs(result.score - expected);
    CAPTURE(by.from);
    CAPTURE(by.method);
    CAPTURE(result.method);
    CAPTURE(result.condition);
    CAPTURE(result.rank);
    CHECK(result.score >= 0.0);
    CHECK(result.score <= 1.0);
    if (result.method == solver::orthogonal && result.rank < exact.rank) {
      // What was left out has to be at the level of rounding; it does not count, in the bound neither.
      const double n = static_cast<double>(c.n), root_d = std::sqrt(static_cast<double>(c.d_x));
      const double rounding = 0x1p-53 * (std::min(n, 512.0) + n / 512.0 + 8.0 * root_d + 8.0);
      CHECK(exact.relative_pivot(result.rank) < 16.0 * rounding * root_d);
      return;
    }
    CHECK(error <= result.error_bound);
    if (by.from == way::data && (by.method == solver::automatic || by.method == solver::orthogonal)) {
      // Beyond, one rounding of double, of a centred element or of y - x, moves the score by more than 1e-8.
      if (result.condition < 3e12) CHECK(error <= accuracy);
      seen.worst_error = std::max(seen.worst_error, static_cast<double>(error));
    }
    if (error > 1e-17) seen.ratios[result.method].push_back(result.error_bound / static_cast<double>(error));
  };

  cross_moments once;
  once.add(data.x, data.y);
  for (const way& by : ways) {
    const linearity_options options{.centering = center, .method = by.method, .tolerance = by.tolerance};
    const cross_moments moments = by.from == way::merged ? random_merges(random, data.x, data.y) : once;
    try {
      check(
          by,
          by.from == way::data ? layerwise::linearity(data.x, data.y, options) : layerwise::linearity(moments, options),
          exact.score());
      if (c.d_x == c.d_y && exact.update_energy > 0)
        check(by,
              by.from == way::data ? layerwise::residual_linearity(data.x, data.y, options)
                                   : layerwise::residual_linearity(moments, options),
              exact.residual_score());
    } catch (const degenerate_input_error& e) {
      // Too ill-conditioned for it is an answer, but only this solver may give it.
      const std::string message = e.what();
      CAPTURE(message);
      CHECK(by.method == solver::cholesky);
    }
  }
}

/// One random case with everything that makes a regression hard.
hard_case random_case(std::mt19937_64& random, const std::vector<double>& conditions,
                      const std::vector<double>& scales) {
  hard_case c;
  c.condition = pick(random, conditions);
  const index most = c.condition > 1e4 ? 12 : 40;  // what quads can do in a test's time
  c.d_x = random_index(random, 1, most);
  c.d_y = random_index(random, 0, 1) == 0 ? c.d_x : random_index(random, 1, most);
  c.n = random_index(random, 2, std::min<index>(64 * c.d_x, 15 * most));
  c.target = static_cast<target_kind>(random_index(random, 0, c.d_x == c.d_y ? 4 : 2));
  c.level = pick(random, std::vector<double>{1.0, 1e-3, 1e-6, 1e-9, 0.0});
  c.outlier = pick(random, std::vector<double>{1.0, 1.0, 1e3, 1e6});
  c.offset = pick(random, std::vector<double>{0.0, 0.0, 1.0, 1e3, 1e6});
  c.scale = pick(random, scales);
  c.duplicates = pick(random, std::vector<int>{0, 0, 1, 3});
  c.dead = pick(random, std::vector<int>{0, 0, 1, 2});
  return c;
}

const std::vector<double> any_scale{1.0, 1.0, 1.0, 1e-150, 1e150, 1e-305, 1e-310, 1e290};

TEST_CASE("the error bound holds for double, whatever makes the regression hard") {
  std::mt19937_64 random(1);
  looseness seen;
  for (int trial = 0; trial < 250; ++trial)
    check_certificate<double>(random, random_case(random, {1.0, 1e2, 1e4, 1e6, 1e8}, any_scale), 1e-8, seen);
  seen.report();
}

TEST_CASE("the error bound holds up to condition 1e12, and the score is good to 1e-8 with the data at hand") {
  std::mt19937_64 random(2);
  looseness seen;
  for (int trial = 0; trial < 150; ++trial)
    check_certificate<double>(random, random_case(random, {1e10, 1e11, 1e12}, any_scale), 1e-8, seen);
  seen.report();
}

TEST_CASE("the error bound holds for float, half and bfloat16") {
  std::mt19937_64 random(3);
  looseness seen;
  const std::vector<double> conditions{1.0, 1e2, 1e4, 1e8, 1e12};
  for (int trial = 0; trial < 80; ++trial) {
    check_certificate<float>(random, random_case(random, conditions, {1.0, 1.0, 1e-38, 1e-42, 1e30}), 1e-8, seen);
    check_certificate<Eigen::half>(random, random_case(random, conditions, {1.0, 1e-5, 1e3}), 1e-8, seen);
    check_certificate<Eigen::bfloat16>(random, random_case(random, conditions, {1.0, 1e-38, 1e30}), 1e-8, seen);
  }
  seen.report();
}

TEST_CASE("the error bound holds for many tokens, and for blocks that chose different targets") {
  std::mt19937_64 random(4);
  looseness seen;
  for (int trial = 0; trial < 60; ++trial) {
    hard_case c = random_case(random, {1.0, 1e2, 1e6}, any_scale);
    c.d_x = random_index(random, 1, 12);
    c.d_y = trial % 3 == 0 ? random_index(random, 1, 12) : c.d_x;
    c.n = random_index(random, 1024, 3000);
    c.target = trial % 3 == 1 ? target_kind::mixed : target_kind::map_and_noise;
    check_certificate<double>(random, c, 1e-8, seen);
    if (trial % 4 == 0) {
      c.scale = 1.0;
      check_certificate<float>(random, c, 1e-8, seen);
    }
  }
  seen.report();
}

TEST_CASE("the bound is worth something: below 1e-12 where the problem is easy") {
  std::mt19937_64 random(5);
  for (const index d : {1, 10, 100}) {
    const data_pair data = make_data(random, {.n = 8 * d + 20, .d_x = d, .d_y = d, .condition = 3.0, .offset = 1.0});
    for (const solver method : {solver::automatic, solver::orthogonal})
      CHECK(layerwise::linearity(data.x, data.y, {.method = method, .tolerance = 1e-12}).error_bound < 1e-12);
    CHECK(layerwise::linearity(data.x, data.y, {.method = solver::rank_revealing}).error_bound < 2e-11);
    CHECK(layerwise::linearity(data.x, data.y).error_bound < 1e-8);  // the first bound that will do
  }
}

TEST_CASE(
    "automatic takes Cholesky if its bound, corrected at need, is within the tolerance, else the data, else "
    "the "
    "revealed rank") {
  std::mt19937_64 random(6);
  const data_pair easy = make_data(random, {.n = 200, .d_x = 8, .d_y = 8}),
                  hard = make_data(random, {.n = 200, .d_x = 8, .d_y = 8, .condition = 1e5}),
                  harder = make_data(random, {.n = 200, .d_x = 8, .d_y = 8, .condition = 1e9}),
                  dependent = make_data(random, {.n = 200, .d_x = 8, .d_y = 8, .duplicates = 1}),
                  few = make_data(random, {.n = 8, .d_x = 8, .d_y = 8});
  const auto from_data = [](const data_pair& d, double tolerance) {
    return layerwise::linearity(d.x, d.y, {.tolerance = tolerance});
  };
  const auto from_moments = [](const data_pair& d, double tolerance) {
    cross_moments moments;
    moments.add(d.x, d.y);
    return layerwise::linearity(moments, {.tolerance = tolerance});
  };
  CHECK(from_data(easy, 1e-8).method == solver::cholesky);
  CHECK(from_data(easy, 0.0).method == solver::orthogonal);
  CHECK(from_data(hard, 1.0).method == solver::cholesky);
  CHECK(from_data(hard, 1e-9).method == solver::cholesky);
  CHECK(from_data(hard, 1e-9).error_bound <= 1e-9);
  CHECK(from_data(hard, 1.0).error_bound > 1e-9);
  CHECK(from_data(hard, 1e-15).method == solver::orthogonal);
  CHECK(from_data(harder, 1e-8).method == solver::orthogonal);
  CHECK(from_data(dependent, 1e-8).method == solver::orthogonal);
  CHECK(from_data(few, 1e-8).method == solver::orthogonal);
  CHECK(from_moments(easy, 1e-8).method == solver::cholesky);
  CHECK(from_moments(dependent, 1e-8).method == solver::rank_revealing);
  CHECK(from_moments(few, 1e-8).method == solver::rank_revealing);
  // Beyond the tolerance and without the data, the better of the two bounds.
  const linearity_result best = from_moments(hard, 1e-15);
  cross_moments moments;
  moments.add(hard.x, hard.y);
  for (const solver method : {solver::cholesky, solver::rank_revealing})
    CHECK(best.error_bound <= layerwise::linearity(moments, {.method = method}).error_bound);
  for (const solver method : {solver::cholesky, solver::orthogonal, solver::rank_revealing})
    CHECK(layerwise::linearity(easy.x, easy.y, {.method = method}).method == method);
}

/// n x d with orthonormal centred columns.
row_major orthonormal(std::mt19937_64& random, index n, index d) {
  row_major u = random_matrix(random, n, d);
  u.rowwise() -= u.colwise().mean().eval();
  return Eigen::HouseholderQR<row_major>(u).householderQ() * row_major::Identity(n, d);
}

TEST_CASE("rank and discarded energy of exactly dependent columns, by every solver that takes them") {
  std::mt19937_64 random(7);
  for (const auto& constructed : std::vector<std::pair<index, index>>{{2, 1}, {7, 3}, {20, 19}, {40, 10}}) {
    const index d = constructed.first, rank = constructed.second;  // clang 14 captures no structured bindings
    // Small integers: sums and multiples of columns are exact, also in float16.
    row_major x(300, d);
    for (index j = 0; j < d; ++j)
      x.col(j) = j < rank ? row_major(random_matrix(random, 300, 1) * 4.0).array().round().matrix()
                          : row_major(2.0 * x.col(j - rank) - (rank > 1 ? x.col((j + 1) % rank) : x.col(0)));
    x.array() += 3.0;
    const row_major y = x.leftCols(1) + random_matrix(random, 300, 1);
    CAPTURE(d);
    CAPTURE(rank);
    const double expected = static_cast<double>(regress_exactly(x, y).score());
    for (const solver method : {solver::automatic, solver::orthogonal, solver::rank_revealing}) {
      const linearity_result r = layerwise::linearity(x, y, {.method = method});
      CHECK(r.rank == rank);
      CHECK(r.discarded_energy < 1e-12);
      CHECK(std::abs(r.score - expected) < 1e-12);
      CHECK(r.chance_floor == static_cast<double>(rank) / 299.0);
      const double left = 1.0 - (1.0 - expected) * 299.0 / static_cast<double>(299 - rank);
      CHECK(std::abs(r.adjusted_score - left) < 1e-11);
      CHECK_FALSE(r.underdetermined);
      const Eigen::Matrix<Eigen::half, Eigen::Dynamic, Eigen::Dynamic> half = x.cast<Eigen::half>();
      CHECK(layerwise::linearity(half, y, {.method = method}).rank == rank);
    }
  }
}

TEST_CASE("a token's embedding: as many directions as there are different rows") {
  std::mt19937_64 random(17);
  const index d = 96;
  for (const index n : {300, 2000, 9000})
    for (const index different : {2, 20, 66, 90}) {
      const row_major table = random_matrix(random, different, d);
      row_major x(n, d);
      for (index i = 0; i < n; ++i)
        x.row(i) = table.row(i < different ? i : std::min<index>(different - 1, static_cast<index>(random() % 100)));
      const row_major y = x.cwiseAbs2() + 0.3 * random_matrix(random, n, d);
      // Any invertible map of the rows' indicators gives the same space: n_k tokens of row k each.
      row_major indicator = row_major::Zero(n, different - 1);
      for (index i = 0; i < n; ++i)
        for (index k = 0; k + 1 < different; ++k) indicator(i, k) = x.row(i) == table.row(k) ? 1.0 : 0.0;
      const double expected = static_cast<double>(regress_exactly(indicator, y).score());
      CAPTURE(n);
      CAPTURE(different);
      for (const solver method : {solver::automatic, solver::orthogonal, solver::rank_revealing}) {
        const linearity_result r = layerwise::linearity(x, y, {.method = method});
        CHECK(r.rank == different - 1);
        CHECK(std::abs(r.score - expected) < 1e-11);
        if (method != solver::rank_revealing) CHECK(r.error_bound < 1e-10);
      }
    }
}

TEST_CASE("directions at the level of rounding are left out, and their energy is reported") {
  std::mt19937_64 random(8);
  // Columns u and u + tiny v: of the two directions, the second has tiny^2 / 4 of the scaled energy.
  const row_major u = orthonormal(random, 100, 3);
  for (const double tiny : {1e-3, 1e-6, 1e-7, 1e-8, 1e-9, 1e-11, 1e-13}) {
    row_major x(100, 2);
    x << u.col(0), u.col(0) + tiny * u.col(1);
    const row_major y = u.col(1) + u.col(2);
    CAPTURE(tiny);
    const linearity_result by_data = layerwise::linearity(x, y, {.method = solver::orthogonal});
    CHECK(by_data.rank == 2);
    CHECK(by_data.discarded_energy < 1e-30);
    CHECK(by_data.condition == doctest::Approx(2.0 / tiny).epsilon(0.05));

    cross_moments moments;
    moments.add(x, y);
    const linearity_result by_moments = layerwise::linearity(moments, {.method = solver::rank_revealing});
    CHECK(std::abs(by_moments.score - by_data.score) <= by_moments.error_bound);
    if (tiny >= 1e-6) CHECK(by_moments.rank == 2);
    if (tiny <= 1e-9) {
      CHECK(by_moments.rank == 1);
      CHECK(by_moments.score < 1e-6);
      CHECK(by_moments.error_bound > 0.4);  // the direction left out explains half
    }
    if (by_moments.rank == 1) CHECK(by_moments.discarded_energy < 1e-13);
  }
}

TEST_CASE("rank decisions are relative: neither scale nor a scale per column matters") {
  std::mt19937_64 random(9);
  const data_pair data = make_data(random, {.n = 200, .d_x = 10, .d_y = 3, .condition = 1e4, .duplicates = 2});
  for (const solver method : {solver::orthogonal, solver::rank_revealing}) {
    const linearity_result plain = layerwise::linearity(data.x, data.y, {.method = method});
    for (const double scale : {1e-300, 1e-20, 1e20, 1e300})
      CHECK(layerwise::linearity(data.x * scale, data.y, {.method = method}).rank == plain.rank);
    const Eigen::VectorXd uneven =
        Eigen::VectorXd::NullaryExpr(10, [&](index j) { return std::ldexp(1.0, static_cast<int>(j * 10 - 50)); });
    const linearity_result r = layerwise::linearity(data.x * uneven.asDiagonal(), data.y, {.method = method});
    CHECK(r.rank == plain.rank);
    CHECK(std::abs(r.score - plain.score) < 1e-12);
    CHECK(r.condition == doctest::Approx(plain.condition).epsilon(1e-6));
  }
}

TEST_CASE("condition is that of the scaled columns, against a singular value decomposition in long double") {
  std::mt19937_64 random(10);
  for (const double condition : {1.0, 1e1, 1e3, 1e6, 1e9})
    for (const index d : {2, 10, 60}) {
      const data_pair data =
          make_data(random, {.n = 300, .d_x = d, .d_y = 4, .condition = condition, .outlier = 1e3, .offset = 1.0});
      const exact_regression exact = regress_exactly(data.x, data.y);
      const auto values = Eigen::JacobiSVD<long_matrix>(exact.triangle).singularValues().eval();
      const double expected = static_cast<double>(values[0] / values[d - 1]);
      CAPTURE(condition);
      CAPTURE(d);
      for (const solver method : {solver::automatic, solver::orthogonal, solver::rank_revealing}) {
        const linearity_result r = layerwise::linearity(data.x, data.y, {.method = method});
        if (r.rank < d) continue;  // moments alone do not see the last directions at 1e9
        CHECK(r.condition == doctest::Approx(expected).epsilon(0.03));
        if (method == solver::orthogonal) CHECK(r.condition <= expected * (1.0 + 1e-6));
      }
    }
}

/// Both scores of a pair within their bounds, by every way that there is.
void check_scores(const row_major& x, const row_major& y, double score, double residual_score, double tolerance,
                  centering center = centering::columns) {
  for (const solver method : {solver::automatic, solver::orthogonal, solver::rank_revealing})
    for (const double asked : {1e-8, 0.0}) {
      const linearity_options options{.centering = center, .method = method, .tolerance = asked};
      const linearity_result with = layerwise::linearity(x, y, options),
                             without = layerwise::residual_linearity(x, y, options);
      CAPTURE(method);
      CAPTURE(asked);
      CHECK(std::abs(with.score - score) <= with.error_bound + 1e-16);
      CHECK(std::abs(without.score - residual_score) <= without.error_bound + 1e-16);
      if (method == solver::rank_revealing) continue;
      CHECK(with.error_bound <= tolerance);
      CHECK(without.error_bound <= tolerance);
    }
}

TEST_CASE("y - x that rounds to a constant is not one") {
  row_major x(3, 1), y(3, 1);
  x << 0, 3, 5;
  y << 0x1p54, 0x1p54 + 4, 0x1p54 + 4;
  // About the means x is (-8, 1, 7)/3, y (-8, 4, 4)/3: s = 96^2 / (114 * 96). The update is (0, 4 - 3, 4 - 5).
  check_scores(x, y, 16.0 / 19.0, 1.0 - (1.0 - 16.0 / 19.0) * (96.0 / 9.0) / 2.0, 1e-14);
  const layerwise::layer_profile p = layerwise::profile(std::vector<row_major>{x.array() + 1.0, y.array() + 4.0});
  CHECK(std::abs(p.layers[0].linearity.value().score - 16.0 / 19.0) < 1e-15);
  cross_moments moments;
  moments.add(x, y);
  CHECK(std::abs(layerwise::linearity(moments).score - 16.0 / 19.0) <= layerwise::linearity(moments).error_bound);
}

TEST_CASE("columns left out: a score of the rank that is reported, or a bound that says so") {
  const double u = 0x1p-52;
  row_major x(4, 2), y(4, 2);
  x << 1, 1 + 6 * u, 1, 1 - 6 * u, 1, 1 + 6 * u, 1, 1 - 6 * u;
  y << 0, 4 * u, 0, -4 * u, 0, 4 * u, 0, -4 * u;
  const linearity_result r = layerwise::linearity(x, y, {.centering = centering::none});
  const double exact = r.rank == 2 ? 1.0 : 0.0;  // y is orthogonal to the ones
  CHECK(std::abs(r.score - exact) <= r.error_bound);
  CHECK(r.error_bound < 1e-8);
  // Two columns that differ by their noise only, beside a step of 1e15.
  std::mt19937_64 random(21);
  row_major a = random_matrix(random, 700, 2), b = random_matrix(random, 700, 2);
  a.topRows(512).array() += 1e15;
  b.topRows(512).array() += 1e15;
  for (const bool residual : {false, true}) {
    const linearity_result s = residual ? layerwise::residual_linearity(a, b) : layerwise::linearity(a, b);
    REQUIRE(s.rank == 1);
    const exact_regression whole = regress_in_quad(a, b);
    const long double energy = residual ? whole.update_energy : whole.output_energy;
    const auto of_column = [&](index j) {  // of y, or y - x, on one column
      return 1 - regress_in_quad(a.col(j), residual ? row_major(b - a) : b).residual_energy / energy;
    };
    const double error =
        static_cast<double>(std::min(std::abs(s.score - of_column(0)), std::abs(s.score - of_column(1))));
    CHECK(error <= s.error_bound + 1e-15);
  }
}

TEST_CASE("both scores to 1e-8 where y - x has an offset of 1e12") {
  row_major x(4, 1), y(4, 1);
  x << 1e12, 1e12 + 1, 1e12 + 2, 1e12 + 4;
  y << .3, -.6, .1, .5;
  const exact_regression exact = regress_in_quad(x, y);
  check_scores(x, y, static_cast<double>(exact.score()), static_cast<double>(exact.residual_score()), 1e-8);
}

TEST_CASE("merges of blocks with different targets remember what cancels") {
  std::mt19937_64 random(3);
  for (const double offset : {1e4, 1e8, 1e12}) {
    row_major x_a = random_matrix(random, 512, 1), y_a = random_matrix(random, 512, 1),
              x_b = random_matrix(random, 512, 1);
    const row_major y_b = x_b + 1e-3 * random_matrix(random, 512, 1);
    x_a.array() += offset, x_b.array() += offset;
    row_major x(1024, 1), y(1024, 1);
    x << x_a, x_b;
    y << y_a, y_b;
    const exact_regression exact = regress_in_quad(x, y);
    cross_moments a, b, both;
    a.add(x_a, y_a);
    b.add(x_b, y_b);
    both = b;
    both.merge(a);
    a.merge(b);
    for (const cross_moments* each : {&a, &both}) {
      const linearity_result with = layerwise::linearity(*each), without = layerwise::residual_linearity(*each);
      CHECK(std::abs(with.score - exact.score()) <= with.error_bound);
      CHECK(std::abs(without.score - exact.residual_score()) <= without.error_bound);
      CHECK(with.error_bound < 1e-9 * offset);  // of the conversion, a few units in the last place of the offset
    }
  }
}

TEST_CASE("energies among the denormals are no energies") {
  std::mt19937_64 random(4);
  const row_major x = random_matrix(random, 40, 1), w = x + random_matrix(random, 40, 1);
  row_major y(40, 2);
  for (const double tiny : {1e-100, 1e-130, 1e-139}) {
    y << row_major::Constant(40, 1, 1.0), tiny * w;
    const linearity_result r = layerwise::linearity(x, y);
    CHECK(std::abs(r.score - regress_in_quad(x, tiny * w).score()) <= r.error_bound);
  }
  for (const double tiny : {1e-158, 1e-162, 1e-200}) {
    y << row_major::Constant(40, 1, 1.0), tiny * w;
    CHECK_THROWS_AS(layerwise::linearity(x, y), degenerate_input_error);
  }
}

TEST_CASE("sums of equal squares drift, and stay within the bound") {
  for (const double a : {1.2721365690231323, 1.0, 1.7})
    for (const double b : {1.6800600290298462, 1.1}) {
      row_major x(512, 1), y(512, 1);
      for (index i = 0; i < 512; ++i) {
        x(i, 0) = (i % 2 == 1 ? a : -a);
        y(i, 0) = (i < 64 ? -b : b) * (i % 2 == 1 ? 1.0 : -1.0);
      }
      check_scores(x, y, 0.5625, static_cast<double>(regress_in_quad(x, y).residual_score()), 1e-8);
    }
  // Rows of a Hadamard matrix: the update c h is orthogonal to x, and its squares all round alike.
  const index n = 4096, d = 16;
  const auto hadamard = [](index i, index j) {
    return std::popcount(static_cast<unsigned>(i & j)) % 2 == 1 ? -1.0 : 1.0;
  };
  row_major x(n, d), y(n, d);
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < d; ++j) {
      x(i, j) = hadamard(i, j + 1);
      y(i, j) = x(i, j) + 0.66311896062463194 * hadamard(i, j + 1 + d);
    }
  const linearity_result r = layerwise::residual_linearity(x, y, {.tolerance = 0.0});
  CHECK(r.score <= r.error_bound);
}

TEST_CASE("a solution that is 0 by accident does not make the bound small") {
  // Two columns that differ by 1e-12, and y = r + c u with r orthogonal to both and u what their difference adds. For
  // some c near 0 the rounding of the factorization cancels the weight along u, and what u explains goes unseen.
  std::mt19937_64 random(5);
  for (const double apart : {3e-12, 1e-12})
    for (const index n : {8, 20}) {
      row_major x(n, 2);
      x.col(0) = random_matrix(random, n, 1);
      x.col(1) = x.col(0) + apart * random_matrix(random, n, 1);
      const auto centered = [](Eigen::VectorXd v) -> Eigen::VectorXd { return v.array() - v.mean(); };
      const auto without = [](Eigen::VectorXd v, const Eigen::VectorXd& part) -> Eigen::VectorXd {
        for (int pass = 0; pass < 2; ++pass) v -= part * (part.dot(v) / part.squaredNorm());
        return v;
      };
      const Eigen::VectorXd along = centered(x.col(0));
      const Eigen::VectorXd u = without(centered(x.col(1) - x.col(0)), along).normalized();
      const Eigen::VectorXd r = without(without(centered(random_matrix(random, n, 1)), along), u).normalized();
      const auto weight = [&](double c) {
        const row_major y = r + c * u;
        const linearity_result found = layerwise::linearity(x, y);
        if (found.rank == 2)
          CHECK(std::abs(found.score - static_cast<double>(regress_in_quad(x, y).score())) <= found.error_bound);
        return layerwise::fit_linear_map(x, y, {.method = solver::orthogonal}).weight(1, 0);
      };
      double c = 0.0, at_c = weight(c), before = 1e-3, at_before = weight(before);
      for (int step = 0; step < 20 && at_c != at_before; ++step) {  // the secant method
        const double next = c - at_c * (before - c) / (at_before - at_c);
        before = std::exchange(c, next), at_before = std::exchange(at_c, weight(next));
      }
    }
}

TEST_CASE("a column that varies by an ulp, or two that differ by one, keep a score within its bound") {
  const auto check_one = [](const linearity_result& found) {  // y - x is in the span of x
    CHECK(1.0 - found.score <= found.error_bound);
    CHECK(found.error_bound <= 1e-8);
  };
  row_major x = row_major::Constant(4096, 2, 0x1.791aef07d7202p+1),
            y = row_major::Constant(4096, 2, 0x1.6532a89e70a0dp+47);
  x(3132, 0) = 0x1.791aef07d7203p+1;
  x(839, 1) = -0x1.32bd5d625db22p+45, y(839, 1) = 0x1.18835145d92e6p+47;
  for (const auto method : {solver::automatic, solver::orthogonal})
    check_one(layerwise::residual_linearity(x, y, {.method = method}));

  y = row_major::Constant(29, 3, 0x1.2c9b26c603724p-2);
  y(6, 0) = 0x1.432243458e029p+4;
  y(3, 1) = 0x1.2c990f43fe76ap-2, y(3, 2) = 0x1.2c9b26c5ffa53p-2;
  x = y, x(14, 1) = 0x1.2c9b26c603722p-2;
  check_one(layerwise::residual_linearity(x, y));
  check_one(*layerwise::profile(std::vector{x, y}).layers.front().residual_linearity);
}

}  // namespace
