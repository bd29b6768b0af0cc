#include <layerwise/metrics/spectrum.hpp>

#include "exact_regression.hpp"
#include "hard_data.hpp"
#include "laws/layer_metric_laws.hpp"
#include "support.hpp"

#include <layerwise/statistics/cross_moments.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

namespace {

using layerwise::centering;
using layerwise::cross_moments;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::layer_moments;
using layerwise::non_finite_error;
using layerwise::option_error;
using layerwise::spectrum;
using layerwise::spectrum_options;
using layerwise::spectrum_result;
using layerwise::token_mask;
using namespace layerwise_test;
using long_vector = std::vector<long double>;

/// Singular values, descending, by one-sided Jacobi rotations of the data itself.
long_vector singular_values(long_matrix x) {
  for (int sweep = 0; sweep < 60; ++sweep) {
    bool turned = false;
    for (index i = 0; i < x.cols(); ++i)
      for (index j = i + 1; j < x.cols(); ++j) {
        const long double a = x.col(i).squaredNorm(), b = x.col(j).squaredNorm(), c = x.col(i).dot(x.col(j));
        if (std::abs(c) <= 1e-19L * std::sqrt(a) * std::sqrt(b)) continue;
        const long double zeta = (b - a) / (2 * c);
        const long double t = (zeta >= 0 ? 1 : -1) / (std::abs(zeta) + std::sqrt(1 + zeta * zeta));
        const long double cosine = 1 / std::sqrt(1 + t * t), sine = t * cosine;
        const long_matrix old = x.col(i);
        x.col(i) = cosine * old - sine * x.col(j);
        x.col(j) = sine * old + cosine * x.col(j);
        turned = true;
      }
    if (!turned) break;
  }
  long_vector values;
  for (index j = 0; j < x.cols(); ++j) values.push_back(x.col(j).norm());
  std::sort(values.begin(), values.end(), std::greater<>());
  return values;
}

/// The definitions, in long double.
struct reference {
  long_vector sigma, lambda;
  index freedom;

  reference(const row_major& data, bool centred) : freedom(data.rows() - (centred ? 1 : 0)) {
    long_matrix x = exact_values(data);
    if (centred) center_exactly(x);
    sigma = singular_values(x);
    for (const long double s : sigma) lambda.push_back(s * s);
  }
  static long double sum(const long_vector& v, long double power) {
    long double total = 0;
    for (const long double one : v)
      if (one > 0) total += std::pow(one, power);
    return total;
  }
  static long double entropy(const long_vector& v, double alpha) {
    const long double total = sum(v, 1);
    long double powers = 0, logs = 0;
    for (const long double one : v)
      if (one > 0)
        powers += std::pow(one / total, static_cast<long double>(alpha)), logs -= one / total * std::log(one / total);
    return alpha == 1 ? logs : std::log(powers) / (1 - static_cast<long double>(alpha));
  }
  long double anisotropy() const { return lambda[0] / sum(lambda, 1); }
  long double stable_rank() const { return sum(lambda, 1) / lambda[0]; }
  long double participation_ratio() const { return sum(lambda, 1) * sum(lambda, 1) / sum(lambda, 2); }
  long double effective_rank() const { return std::exp(entropy(sigma, 1)); }
};

/// |value - exact| is within the bound, and a little of long double's own.
void check_within(const char* what, double value, double bound, long double exact) {
  CAPTURE(what);
  CAPTURE(value);
  CAPTURE(bound);
  CHECK(static_cast<double>(std::abs(value - exact)) <= bound + 1e-17 * std::abs(value));
  CHECK(bound >= 0.0);
}

/// Every number against the definitions, within its bound.
spectrum_result check_against(const spectrum_result& s, const reference& exact, double scale = 1.0) {
  for (index k = 0; k < s.eigenvalues.size(); ++k)
    check_within("eigenvalue", s.eigenvalues[k] / scale / scale, s.error_bound / scale / scale,
                 exact.lambda[static_cast<std::size_t>(k)] / static_cast<long double>(exact.freedom));
  check_within("anisotropy", s.anisotropy, s.anisotropy_error, exact.anisotropy());
  check_within("stable_rank", s.stable_rank, s.stable_rank_error, exact.stable_rank());
  check_within("participation_ratio", s.participation_ratio, s.participation_ratio_error, exact.participation_ratio());
  check_within("effective_rank", s.effective_rank, s.effective_rank_error, exact.effective_rank());
  check_within("matrix_entropy", s.matrix_entropy, s.matrix_entropy_error, reference::entropy(exact.lambda, 1));
  const long double last = exact.sigma[static_cast<std::size_t>(s.rank - 1)];
  check_within("condition", s.condition, s.condition_error, exact.sigma[0] / last);
  CHECK(last > 0.0L);
  return s;
}

spectrum_result check_against(const row_major& x, bool centred) {
  return check_against(spectrum(x, {centred ? centering::columns : centering::none}), reference(x, centred));
}

row_major five_tokens() { return worked_pair().x; }

template <class Measure>
struct of_layer {
  Measure measure;
  auto operator()(const auto& x, const token_mask& mask = {}) const { return measure(x, spectrum_options{}, mask); }
  auto operator()(const layer_moments& moments) const { return measure(moments, spectrum_options{}); }
};
template <class Measure>
of_layer(Measure) -> of_layer<Measure>;

template <class Measure>
void check_laws(const Measure& measure) {
  const of_layer metric{measure};
  check_layer_metric(metric, {.rotation = true, .scale = true, .shift = true});
  check_layer_accumulator(metric, [] { return layer_moments(); });
}

TEST_CASE("anisotropy: what changes it and what does not") {
  check_laws([](const auto&... of) { return layerwise::anisotropy(of...); });
}
TEST_CASE("stable rank: what changes it and what does not") {
  check_laws([](const auto&... of) { return layerwise::stable_rank(of...); });
}
TEST_CASE("participation ratio: what changes it and what does not") {
  check_laws([](const auto&... of) { return layerwise::participation_ratio(of...); });
}
TEST_CASE("effective rank: what changes it and what does not") {
  check_laws([](const auto&... of) { return layerwise::effective_rank(of...); });
}

TEST_CASE("matrix entropy of any order: what changes it and what does not") {
  for (const double alpha : {0.3, 1.0, 2.0, 5.0}) {
    CAPTURE(alpha);
    check_laws([=](const auto& x, const auto&... of) { return layerwise::matrix_entropy(x, alpha, of...); });
  }
}

TEST_CASE("the numbers of a spectrum are those of the functions; eigenvalues go with the square of a factor") {
  std::mt19937_64 random(1);
  const row_major x = random_matrix(random, 300, 7) * random_invertible(random, 7);
  const spectrum_options about_zero{centering::none};
  for (const spectrum_options& options : {spectrum_options(), about_zero}) {
    const spectrum_result s = spectrum(x, options);
    CHECK(s.anisotropy == layerwise::anisotropy(x, options));
    CHECK(s.stable_rank == layerwise::stable_rank(x, options));
    CHECK(s.participation_ratio == layerwise::participation_ratio(x, options));
    CHECK(s.effective_rank == layerwise::effective_rank(x, options));
    CHECK(s.matrix_entropy == layerwise::matrix_entropy(x, 1.0, options));
    layer_moments moments;
    moments.add(x);
    cross_moments pair;
    pair.add(x, x * 2.0);
    check_identical(spectrum(moments, options), s);
    CHECK(spectrum(pair.scatter(options.centering)).effective_rank == s.effective_rank);
    CHECK(spectrum(pair.scatter(options.centering)).eigenvalues == s.eigenvalues);
    CHECK(layerwise::anisotropy(pair.scatter(options.centering)) == s.anisotropy);
    for (const int power : {-400, -200, 150, 400}) {
      const spectrum_result other = spectrum(x * std::ldexp(1.0, power), options);
      check_identical(other.eigenvalues, s.eigenvalues * std::ldexp(1.0, 2 * power));
      CHECK(other.error_bound == near(s.error_bound * std::ldexp(1.0, 2 * power), 1e-12));
      CHECK(other.effective_rank == s.effective_rank);
    }
    CHECK(s.tokens == 300);
    CHECK(s.dimensions == 7);
    CHECK(s.rank == 7);
  }
  const token_mask mask = token_mask::skip_first(300, 10);
  check_identical(spectrum(x, {}, mask), spectrum(rows_of(x, mask.rows(300))));
}

TEST_CASE("worked values: five tokens of two dimensions, centred") {
  const row_major x = five_tokens();
  const spectrum_result s = check_against(x, true);
  CHECK(s.eigenvalues[0] == near(7.639607805437114 / 4, 1e-14));
  CHECK(s.eigenvalues[1] == near(3.560392194562886 / 4, 1e-14));
  CHECK(s.anisotropy == near(0.6821078397711708, 1e-14));
  CHECK(s.stable_rank == near(1.466043844820012, 1e-14));
  CHECK(s.participation_ratio == near(1.765765765765766, 1e-14));
  CHECK(s.effective_rank == near(1.9645402071273141, 1e-14));
  CHECK(s.matrix_entropy == near(0.6252704063933798, 1e-14));
  CHECK(s.condition == near(1.4648279288238402, 1e-14));
  CHECK(layerwise::matrix_entropy(x, 2.0) == near(0.568584457918183, 1e-14));
  CHECK(s.rank == 2);
  for (const double error : {s.anisotropy_error, s.stable_rank_error, s.participation_ratio_error,
                             s.effective_rank_error, s.matrix_entropy_error, s.condition_error, s.error_bound})
    CHECK(error < 1e-13);
}

TEST_CASE("worked values: the same about 0, and singular values 2 and 1") {
  const spectrum_options about_zero{centering::none};
  const spectrum_result s = check_against(five_tokens(), false);
  CHECK(std::sqrt(5.0 * s.eigenvalues[0]) == near(3.792777980206, 1e-12));
  CHECK(std::sqrt(5.0 * s.eigenvalues[1]) == near(1.901271993394, 1e-12));
  CHECK(s.effective_rank == near(1.8906292517143144, 1e-14));
  CHECK(s.matrix_entropy == near(0.5015428554629914, 1e-14));
  CHECK(layerwise::matrix_entropy(five_tokens(), 2.0, about_zero) == near(0.3871159694399677, 1e-14));

  row_major x(2, 2);
  x << 2, 0, 0, 1;
  const spectrum_result two = check_against(x, false);
  CHECK(two.effective_rank == near(1.8898815748423097, 1e-14));
  CHECK(std::exp(two.matrix_entropy) == near(1.6493848884661177, 1e-14));  // the smaller one, by Roy and Vetterli's
  CHECK(two.participation_ratio == near(25.0 / 17.0, 1e-14));
  CHECK(two.stable_rank == near(1.25, 1e-14));
  CHECK(two.condition == near(2.0, 1e-14));
}

TEST_CASE("any spectrum, offset, outlier, dependent column, width and scale: within the bounds") {
  std::mt19937_64 random(2);
  for (int round = 0; round < 150; ++round) {
    hard_case c;
    c.n = pick<Eigen::Index>(random, {2, 3, 9, 60, 700});
    c.d_x = pick<Eigen::Index>(random, {1, 2, 5, 12});
    c.condition = pick<double>(random, {1.0, 30.0, 1e4, 1e8, 1e12});
    c.outlier = pick<double>(random, {1.0, 1.0, 1e4, 1e8});
    c.offset = pick<double>(random, {0.0, 0.0, 10.0, 1e4, 1e8});
    c.duplicates = pick<int>(random, {0, 0, 1, 3});
    c.dead = pick<int>(random, {0, 0, 1});
    CAPTURE(c);
    const row_major x = make_data(random, c).x;
    for (const bool centred : {true, false}) {
      spectrum_result s;
      const spectrum_options options{centred ? centering::columns : centering::none};
      try {
        s = spectrum(x, options);
      } catch (const degenerate_input_error&) {  // all columns dead, or lost beside the offset
        CHECK((c.dead > 0 || c.offset > 1.0 || c.n < 3));
        continue;
      }
      check_against(s, reference(x, centred));
      CHECK(s.rank <= std::min(c.n - (centred ? 1 : 0), c.d_x));
      for (const double factor : {0x1p300, 0x1p-300})
        check_against(spectrum(x * factor, options), reference(x, centred), factor);
    }
  }
}

TEST_CASE("matrix entropy of any order is that of the exact eigenvalues, through alpha = 1 without a step") {
  std::mt19937_64 random(3);
  const row_major x = random_matrix(random, 200, 12) * random_invertible(random, 12);
  const reference exact(x, true);
  for (const double alpha : {1e-3, 0.1, 0.49, 0.5, 0.51, 0.9, 1.0, 1.5, 1.51, 2.0, 3.0, 20.0, 300.0}) {
    CAPTURE(alpha);
    CHECK(layerwise::matrix_entropy(x, alpha) ==
          near(static_cast<double>(reference::entropy(exact.lambda, alpha)), 1e-12));
  }
  for (const double step : {-1e-6, -1e-12, -1e-16, 1e-15, 1e-9})
    CHECK(layerwise::matrix_entropy(x, 1.0 + step) == near(layerwise::matrix_entropy(x, 1.0), 2e-6));
  CHECK(layerwise::matrix_entropy(x, 1.0 + 1e-12) == near(layerwise::matrix_entropy(x, 1.0), 1e-11));
  double before = std::log(12.0);
  for (double alpha = 0.05; alpha < 6.0; alpha += 0.05) {
    const double entropy = layerwise::matrix_entropy(x, alpha);
    CHECK(entropy < before);  // it falls with alpha
    before = entropy;
  }
}

TEST_CASE("entropies of enclosed numbers hold for every choice within the enclosures") {
  std::mt19937_64 random(4);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  for (int round = 0; round < 300; ++round) {
    const double alpha = pick<double>(random, {0.05, 0.5, 0.9, 1.0, 1.2, 1.5, 2.0, 7.0}),
                 width = pick<double>(random, {1e-12, 1e-4, 0.2});
    layerwise::detail::enclosed_numbers numbers;
    layerwise::detail::enclosed total{0.0, 0.0, 0.0};
    long_vector inside;
    for (int k = 0; k < 6; ++k) {
      const double value = k == 5 ? 0.0 : std::pow(uniform(random), 6.0), least = std::max(0.0, value - width);
      numbers.push_back({value, least, value + width});
      const double end = uniform(random);  // at an end, or between
      inside.push_back(end < 0.3   ? least
                       : end < 0.6 ? value + width
                                   : least + uniform(random) * (value + width - least));
      total = {total.value + value, total.least + least, total.most + value + width};
    }
    total.least *= 1.0 - 1e-15, total.most *= 1.0 + 1e-15;
    const auto s = layerwise::detail::entropy_of(shares_in(numbers, total), alpha, 6);
    CAPTURE(alpha);
    CAPTURE(width);
    CHECK(std::abs(s.value - static_cast<double>(reference::entropy(inside, alpha))) <= s.error + 1e-16);
    if (width < 1e-9 && alpha >= 0.5) CHECK(s.error < 1e-4);
  }
}

TEST_CASE("identities: stable rank and anisotropy, entropy of order 2 and participation ratio, equal directions") {
  std::mt19937_64 random(5);
  const row_major x = random_matrix(random, 400, 9) * random_invertible(random, 9);
  const spectrum_result s = spectrum(x);
  CHECK(s.stable_rank * s.anisotropy == near(1.0, 1e-14));
  CHECK(std::exp(layerwise::matrix_entropy(x, 2.0)) == near(s.participation_ratio, 1e-14));
  CHECK(layerwise::matrix_entropy(x, 2.0 + 1e-12) == near(layerwise::matrix_entropy(x, 2.0), 1e-11));  // by eigenvalues
  CHECK(s.eigenvalues.sum() == near((x.rowwise() - x.colwise().mean()).squaredNorm() / 399.0, 1e-13));
  const row_major cube = row_major::Identity(8, 8);  // a simplex, 7 equal directions
  const spectrum_result even = check_against(cube, true);
  CHECK(even.anisotropy == near(1.0 / 7.0, 1e-14));
  CHECK(even.participation_ratio == near(7.0, 1e-14));
  CHECK(even.effective_rank == near(7.0, 1e-14));
  CHECK(even.matrix_entropy == near(std::log(7.0), 1e-14));
  CHECK(even.condition == near(1.0, 1e-13));
  CHECK(even.rank == 7);
  CHECK(even.effective_rank_error < 1e-12);  // the eighth is no uncertain 0: tokens tell
  CHECK(even.eigenvalues[7] == 0.0);
}

TEST_CASE("fewer tokens than dimensions, few different rows: the rank, and no doubt about the rest") {
  std::mt19937_64 random(6);
  const row_major x = random_matrix(random, 9, 40);
  const spectrum_result s = spectrum(x);
  CHECK(s.rank == 8);
  CHECK(s.eigenvalues.tail(32).isZero(0.0));
  CHECK(spectrum(x, {centering::none}).rank == 9);
  CHECK(s.effective_rank_error < 1e-11);
  std::vector<index> order;
  for (index i = 0; i < 90; ++i) order.push_back(i % 9);
  const spectrum_result repeated = spectrum(rows_of(x, order));
  CHECK(repeated.rank == 8);
  CHECK(repeated.effective_rank == near(s.effective_rank, 1e-12));
  CHECK(repeated.effective_rank_error < 1e-10);

  const row_major low = random_matrix(random, 500, 3) * random_matrix(random, 3, 10);
  const spectrum_result flat = spectrum(low);
  CHECK(flat.rank == 3);
  CHECK(flat.eigenvalues[3] == 0.0);
  CHECK(flat.effective_rank_error < 1e-4);  // directions of the square root of rounding may hide
  CHECK(flat.matrix_entropy_error < 1e-9);
  row_major line(4, 3);
  line << 1, 2, 3, 2, 4, 6, 0, 0, 0, -1, -2, -3;
  const spectrum_result one = spectrum(line);
  CHECK(one.rank == 1);
  CHECK(one.anisotropy == near(1.0, 1e-14));
  CHECK(one.condition == near(1.0, 1e-14));
}

TEST_CASE("a constant added to all rows changes what is about 0, and nothing about the means") {
  std::mt19937_64 random(7);
  const row_major x = random_matrix(random, 800, 5), far = (x.array() + 1e8).matrix();
  const row_major moved = (far.array() - 1e8).matrix();  // what of x is left at that offset, exactly
  const spectrum_result s = spectrum(moved), t = spectrum(far);
  CHECK(t.anisotropy == near(s.anisotropy, 1e-12));
  CHECK(t.effective_rank == near(s.effective_rank, 1e-12));
  CHECK(t.condition == near(s.condition, 1e-12));
  CHECK(t.anisotropy_error < 1e-9);
  CHECK(layerwise::anisotropy(far, {centering::none}) == near(1.0, 1e-14));
  CHECK(layerwise::stable_rank(x, {centering::none}) > 4.0);
}

TEST_CASE("no negative entropy, and no clamp of what is not there") {
  // With the squares of eigenvalues divided by d^2, as for an n x n kernel of unit diagonal, S_2 of a d x d covariance
  // came out negative; with negative entries of the matrix set to 0, S_1 grew.
  std::mt19937_64 random(8);
  const row_major x = random_matrix(random, 50, 8) * random_invertible(random, 8);
  const row_major gram = x * x.transpose(), covariance = x.transpose() * x;
  const auto entropy = [](const row_major& m) {
    long_vector lambda;
    const long_vector sigma = singular_values(exact_values(m));
    for (const long double one : sigma) lambda.push_back(one > 1e-12L * sigma[0] ? one : 0.0L);
    return static_cast<double>(reference::entropy(lambda, 1));
  };
  const double found = layerwise::matrix_entropy(x, 1.0, {centering::none});
  CHECK(found == near(entropy(covariance), 1e-11));
  CHECK(found == near(entropy(gram), 1e-11));
  CHECK(entropy(covariance.cwiseMax(0.0)) != near(found, 1e-3));
  CHECK(layerwise::matrix_entropy(x, 2.0, {centering::none}) > 0.0);
  CHECK(layerwise::matrix_entropy(x, 2.0, {centering::none}) < std::log(8.0));
}

TEST_CASE("merges and large offsets: the bound says what no one can know") {
  std::mt19937_64 random(9);
  row_major x = random_matrix(random, 900, 4) * 1e-3;
  x.bottomRows(400).array() += 1e5;
  layer_moments moments, rest;
  moments.add(x.topRows(500));
  rest.add(x.bottomRows(400));
  moments.merge(rest);
  check_against(spectrum(moments), reference(x, true));
  check_against(spectrum(moments, {centering::none}), reference(x, false));
  row_major drowned = random_matrix(random, 900, 3);  // variance of 1e-18 of the offset's, where parts meet
  drowned.array() += 1e9;
  layer_moments far;
  far.add(row_major(drowned.topRows(500).array() + 0.0));
  layer_moments away;
  away.add(row_major(drowned.bottomRows(400).array() - 2e9));
  far.merge(away);
  row_major both(900, 3);
  both << drowned.topRows(500), row_major(drowned.bottomRows(400).array() - 2e9);
  const spectrum_result s = check_against(spectrum(far), reference(both, true));
  CHECK(s.rank < 3);
}

TEST_CASE("what has no variance, or only what rounding can have made, and variances no double holds") {
  std::mt19937_64 random(10);
  const row_major x = random_matrix(random, 20, 3), constant = row_major::Constant(20, 3, 0.1),
                  zero = row_major::Zero(20, 3);
  const spectrum_options about_zero{centering::none};
  const auto each = [](const auto& check) {
    check([](const auto&... of) { spectrum(of...); });
    check([](const auto&... of) { layerwise::anisotropy(of...); });
    check([](const auto&... of) { layerwise::stable_rank(of...); });
    check([](const auto&... of) { layerwise::participation_ratio(of...); });
    check([](const auto&... of) { layerwise::effective_rank(of...); });
    check([](const auto& m, const auto&... of) { layerwise::matrix_entropy(m, 1.0, of...); });
    check([](const auto& m, const auto&... of) { layerwise::matrix_entropy(m, 2.0, of...); });
  };
  each([&](const auto& metric) {
    check_throws<degenerate_input_error>([&] { metric(constant); }, "rows that differ", "no variance", "X");
    check_throws<degenerate_input_error>([&] { metric(row_major(x.topRows(1))); }, "rows that differ", "no variance",
                                         "X");
    check_throws<degenerate_input_error>([&] { metric(zero, about_zero); }, "rows other than zero", "zeros only", "X");
    check_throws<degenerate_input_error>([&] { metric(layer_moments()); }, "at least one token", "none", "X");
  });
  CHECK(spectrum(constant, about_zero).rank == 1);
  for (const double bad : {0.0, -1.0, HUGE_VAL, std::numeric_limits<double>::quiet_NaN()})
    check_throws<option_error>([&] { layerwise::matrix_entropy(x, bad); }, "a finite alpha > 0",
                               layerwise::detail::text(bad), "matrix_entropy");
  for (const double scale : {0x1p600, 0x1p-600}) {
    CHECK_THROWS_AS(spectrum(x * scale), non_finite_error);
    CHECK(layerwise::effective_rank(x * scale) == layerwise::effective_rank(x));
  }
  check_throws<non_finite_error>([&] { spectrum(x * 0x1p600); }, "data whose variance is within the range of double",
                                 "a variance of inf", "X");
}

TEST_CASE("columns of sizes 1e-100 and less beside one of 1: directions that are nothing beside it stay nothing") {
  std::mt19937_64 random(77);
  for (const double tiny : {1e-70, 1e-80, 1e-100, 1e-130}) {
    CAPTURE(tiny);
    row_major x = random_matrix(random, 200, 4);
    x.rightCols(3) = tiny * (x.rightCols(3).colwise() + x.col(0)).eval();
    const auto result = layerwise::spectrum(x);
    CHECK(result.rank == 1);
    CHECK(std::abs(result.effective_rank - 1.0) <= result.effective_rank_error);
    CHECK(result.anisotropy == near(1.0, 1e-14));
    CHECK(result.eigenvalues.tail(3).cwiseAbs().maxCoeff() == 0.0);
  }
}

TEST_CASE("eigenvalues over their median: nGPT's, and none where most of them are 0") {
  row_major x = row_major::Zero(8, 4);  // variances in the ratio 9 : 4 : 2 : 1
  const double lengths[] = {3.0, 2.0, std::sqrt(2.0), 1.0};
  for (index j = 0; j < 4; ++j) x(2 * j, j) = lengths[j], x(2 * j + 1, j) = -lengths[j];
  const auto ratios = layerwise::eigenvalues_over_median(spectrum(x));
  for (index k = 0; k < 4; ++k) CHECK(ratios[k] == near(lengths[k] * lengths[k] / 3.0, 1e-13));
  const auto odd = layerwise::eigenvalues_over_median(spectrum(x.leftCols(3)));
  CHECK(odd[0] == near(9.0 / 4.0, 1e-13));
  CHECK(odd[1] == 1.0);
  check_refused<degenerate_input_error>([&] { layerwise::eigenvalues_over_median(layerwise::spectrum_result()); });
  check_throws<degenerate_input_error>([&] { layerwise::eigenvalues_over_median(spectrum(x.topRows(2))); },
                                       "a median of the eigenvalues above 0", "a rank of 1", "X");
}

}  // namespace
