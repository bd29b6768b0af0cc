// Every formula against tests/reference/make_reference.py, which evaluates the definitions exactly or with 80
// digits.
//
// Results agree to 1e-12: scores, cosines and other values of order one absolutely, quantities that can be
// tiny (displacements, angles, ratios, regularizers) relative to their size. Where rounding of the input's
// own size makes that impossible in double, the tolerance is derived from the case's condition, in the
// functions *_tolerance below.
#include <layerwise/layerwise.hpp>

#include "reference/reference_data.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace reference = layerwise_reference;
using layerwise::centering;
using layerwise::index;
using layerwise::linearity_result;
using layerwise::solver;
using reference::fit;
using reference::pair_case;
using reference::stack_case;
using reference::values;

constexpr double accuracy = 1e-12;
constexpr double unit = std::numeric_limits<double>::epsilon() / 2;
constexpr double few_ulps = 16 * unit;

double at(values v, index i) { return v[static_cast<std::size_t>(i)]; }

template <class T>
const T& choose(const reference::by_centring<T>& pair, centering center) {
  return center == centering::columns ? pair.columns : pair.raw;
}

void check_close(double got, double expected, double tolerance) {
  CAPTURE(got);
  CAPTURE(expected);
  CAPTURE(tolerance);
  const double difference = std::abs(got - expected);
  CHECK(difference <= tolerance);
}

// ---- Inputs ----

using row_major = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

row_major matrix(const double* data, index rows, index cols) { return Eigen::Map<const row_major>(data, rows, cols); }
row_major x_of(const pair_case& c) { return matrix(c.x, c.tokens, c.x_dimensions); }
row_major y_of(const pair_case& c) { return matrix(c.y, c.tokens, c.y_dimensions); }

row_major layer_of(const stack_case& c, index l) {
  return matrix(c.states.data() + l * c.tokens * c.dimensions, c.tokens, c.dimensions);
}
std::vector<row_major> layers_of(const stack_case& c) {
  std::vector<row_major> layers;
  for (index l = 0; l < c.layers; ++l) layers.push_back(layer_of(c, l));
  return layers;
}

/// True if every value survives the conversion, so that the reference holds for this scalar type too.
template <class Scalar, class Matrix>
bool is_exact_in(const Matrix& m) {
  if (!(m.cwiseAbs().maxCoeff() < 1e4)) return false;
  return m.template cast<Scalar>().template cast<double>().cwiseEqual(m).all();
}

template <class Scalar>
bool is_exact_in(const std::vector<row_major>& layers) {
  return std::all_of(layers.begin(), layers.end(), [](const row_major& h) { return is_exact_in<Scalar>(h); });
}

/// body(name of the storage, X, Y) for every scalar type and layout that holds the case exactly.
template <class Body>
void for_each_storage(const row_major& x, const row_major& y, const Body& body) {
  body("double, row-major", x, y);
  body("double, column-major", Eigen::MatrixXd(x), Eigen::MatrixXd(y));
  body("double, a lazy expression", -(-x), 1.0 * y);
  const auto narrow = [&]<class Scalar>(Scalar, const std::string& name) {
    using narrow_matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
    if (is_exact_in<Scalar>(x) && is_exact_in<Scalar>(y)) {
      body(name, narrow_matrix(x.cast<Scalar>()), narrow_matrix(y.cast<Scalar>()));
      body(name + " and double", narrow_matrix(x.cast<Scalar>()), y);
    }
  };
  narrow(float(), "float");
  narrow(Eigen::half(), "half");
  narrow(Eigen::bfloat16(), "bfloat16");
}

/// The rows of m with rows of NaN between them, which the mask leaves out.
row_major with_masked_rows(const row_major& m) {
  row_major all = row_major::Constant(2 * m.rows() + 1, m.cols(), std::numeric_limits<double>::quiet_NaN());
  for (index i = 0; i < m.rows(); ++i) all.row(2 * i + 1) = m.row(i);
  return all;
}
layerwise::token_mask mask_for(index kept) {
  std::vector<bool> keep(static_cast<std::size_t>(2 * kept + 1));
  for (std::size_t i = 1; i < keep.size(); i += 2) keep[i] = true;
  return layerwise::token_mask(keep);
}

// ---- Linearity ----

/// First-order perturbation: a score solved from moments can lose the square of the condition, one solved
/// from the data the condition itself. (The result's own error_bound is checked too; it is the sharper one.)
double score_tolerance(const fit& expected, solver method) {
  if (!(expected.condition > 1e3)) return accuracy;
  const double loss = method == solver::orthogonal ? expected.condition : expected.condition * expected.condition;
  return std::max(accuracy, 16 * unit * loss);
}

/// The condition is beyond what moments in double can resolve: they may see a lower rank, and say so.
bool moments_cannot_tell(const fit& expected) { return expected.condition > 1e6; }

void check_fit(const linearity_result& got, const fit& expected, index tokens) {
  CAPTURE(static_cast<int>(got.method));
  CAPTURE(got.rank);
  CAPTURE(got.error_bound);
  check_close(got.score, expected.score, got.error_bound + few_ulps);
  CHECK(got.tokens == tokens);
  if (got.method != solver::orthogonal && moments_cannot_tell(expected)) {
    CHECK(got.rank <= expected.rank);
    return;
  }
  const double tolerance = score_tolerance(expected, got.method);
  check_close(got.score, expected.score, tolerance);
  CHECK(got.rank == expected.rank);
  CHECK(got.underdetermined == expected.underdetermined);
  check_close(got.chance_floor, expected.chance_floor, few_ulps);
  if (!expected.underdetermined)
    check_close(got.adjusted_score, expected.adjusted_score, tolerance / (1 - expected.chance_floor));
  if (!std::isnan(expected.condition)) {  // reported from an estimate from below
    const double loss = expected.condition * (got.method == solver::orthogonal ? 1 : expected.condition);
    const double ratio = got.condition / expected.condition;
    CHECK(ratio > 0.9);
    CHECK(ratio < 1 + 1e-9 + 16 * unit * loss);
  }
}

/// Runs `measure`, which must throw degenerate_input_error exactly where the reference is undefined.
template <class Measure>
void check_fit(const Measure& measure, const fit& expected, index tokens) {
  if (expected.defined)
    check_fit(measure(), expected, tokens);
  else
    CHECK_THROWS_AS(measure(), layerwise::degenerate_input_error);
}

constexpr centering centerings[] = {centering::columns, centering::none};

/// Every row `times` times, one after the other. That multiplies all moments by `times` and leaves every
/// score and every mean over tokens as it was, for more tokens than moments are taken of at once.
row_major repeated(const row_major& m, index times) {
  row_major all(m.rows() * times, m.cols());
  for (index i = 0; i < all.rows(); ++i) all.row(i) = m.row(i / times);
  return all;
}
fit repeated(fit f, index tokens, index times, centering center) {
  if (!f.defined || times == 1) return f;
  const double freedom = static_cast<double>(tokens * times - (center == centering::columns ? 1 : 0));
  f.underdetermined = f.rank >= freedom;
  f.chance_floor = f.rank / freedom;
  f.adjusted_score = 1 - (1 - f.score) * freedom / (freedom - f.rank);
  return f;
}

TEST_CASE("linearity of every pair, in every storage that holds it exactly") {
  for (const pair_case& c : reference::pair_cases)
    for (const centering center : centerings) {
      CAPTURE(std::string_view(c.name));
      CAPTURE(static_cast<int>(center));
      const fit& expected = choose(c.linearity, center);
      for_each_storage(x_of(c), y_of(c), [&](const std::string& storage, const auto& x, const auto& y) {
        CAPTURE(storage);
        check_fit([&] { return layerwise::linearity(x, y, {.centering = center}); }, expected, c.tokens);
        if (expected.defined)
          CHECK(layerwise::linearity_score(x, y, {.centering = center}) ==
                layerwise::linearity(x, y, {.centering = center}).score);
      });
    }
}

TEST_CASE("linearity of the rows a mask keeps") {
  for (const pair_case& c : reference::pair_cases)
    for (const centering center : centerings) {
      CAPTURE(std::string_view(c.name));
      CAPTURE(static_cast<int>(center));
      const layerwise::linearity_options options{.centering = center};
      const row_major x = with_masked_rows(x_of(c)), y = with_masked_rows(y_of(c));
      check_fit([&] { return layerwise::linearity(x, y, options, mask_for(c.tokens)); }, choose(c.linearity, center),
                c.tokens);
    }
}

TEST_CASE("linearity by every solver, of few tokens and of many") {
  for (const pair_case& c : reference::pair_cases)
    for (const centering center : centerings)
      for (const index times : {index{1}, 1 + 2100 / index{c.tokens}}) {
        const fit expected = repeated(choose(c.linearity, center), c.tokens, times, center);
        if (!expected.defined) continue;
        CAPTURE(std::string_view(c.name));
        CAPTURE(static_cast<int>(center));
        CAPTURE(times);
        const row_major x = repeated(x_of(c), times), y = repeated(y_of(c), times);
        const auto solve = [&](solver method) {
          const auto result = layerwise::linearity(x, y, {.centering = center, .method = method});
          CHECK(result.method == method);
          return result;
        };
        check_fit(layerwise::linearity(x, y, {.centering = center}), expected, x.rows());
        check_fit(solve(solver::orthogonal), expected, x.rows());
        check_fit(solve(solver::rank_revealing), expected, x.rows());
        if (expected.condition < 1e6) check_fit(solve(solver::cholesky), expected, x.rows());
        if (std::isnan(expected.condition)) CHECK_THROWS_AS(solve(solver::cholesky), layerwise::degenerate_input_error);
      }
}

TEST_CASE("residual linearity of every layer, and the identity that links it to the score") {
  for (const stack_case& c : reference::stack_cases)
    for (index l = 1; l < c.layers; ++l)
      for (const centering center : centerings) {
        CAPTURE(std::string_view(c.name));
        CAPTURE(l);
        CAPTURE(static_cast<int>(center));
        const auto& layer = c.layer[static_cast<std::size_t>(l - 1)];
        const fit& plain = choose(layer.linearity, center);
        const fit& residual = choose(layer.residual_linearity, center);
        for_each_storage(
            layer_of(c, l - 1), layer_of(c, l), [&](const std::string& storage, const auto& x, const auto& y) {
              CAPTURE(storage);
              check_fit([&] { return layerwise::residual_linearity(x, y, {.centering = center}); }, residual, c.tokens);
              check_fit([&] { return layerwise::linearity(x, y, {.centering = center}); }, plain, c.tokens);
              if (residual.defined)
                CHECK(layerwise::residual_linearity_score(x, y, {.centering = center}) ==
                      layerwise::residual_linearity(x, y, {.centering = center}).score);
            });
        if (!plain.defined || !residual.defined) continue;
        // 1 - s_res = (1 - s) ||Y||^2 / ||D||^2, both scores and both energies from the library
        const row_major x = layer_of(c, l - 1), y = layer_of(c, l);
        const row_major update = layerwise::residual_update(x, y);
        const auto energy = [&](const row_major& m) {
          const row_major about = center == centering::columns ? row_major(m.rowwise() - m.colwise().mean()) : m;
          return about.stableNorm();
        };
        const double ratio = std::pow(energy(y) / energy(update), 2);
        const auto s = layerwise::linearity(x, y, {.centering = center});
        const auto r = layerwise::residual_linearity(x, y, {.centering = center});
        check_close(r.score, 1 - (1 - s.score) * ratio, r.error_bound + (s.error_bound + few_ulps) * ratio + accuracy);
      }
}

/// A way to stream rows: at least how many, each repeated as often as that takes; in batches of which sizes
/// (the last one is used to the end); and whether each batch makes an accumulator of its own, merged from the
/// left or from the right.
struct streaming {
  index least_rows;
  std::vector<index> batches;
  bool merge, from_the_right;

  index times(index tokens) const { return std::max<index>(1, (least_rows + tokens - 1) / tokens); }
};
const streaming streamings[] = {
    {1, {1000}, false, false},    {1, {1}, false, false},      {1, {2, 1, 3}, false, false},
    {1, {1000}, true, false},     {1, {1}, true, false},       {1, {3, 1, 2}, true, true},
    {1, {1}, true, true},         {1, {4}, true, false},       {2100, {3000}, false, false},
    {2100, {100}, false, false},  {2100, {3000}, true, false}, {2100, {700}, true, false},
    {2100, {600, 1}, true, true}, {2100, {512}, true, true},   {2100, {513, 90, 1100}, true, false},
};

/// add(accumulator, first row, number of rows) for every batch of `rows` rows; all accumulators merged, 40 at
/// most. The first accumulator stays empty: merging it must change nothing.
template <class Accumulator, class Add>
Accumulator stream(const streaming& how, index rows, const Accumulator& empty, const Add& add) {
  std::vector<Accumulator> parts(1, empty);
  for (index row = 0, batch = 0; row < rows; ++batch) {
    const auto number = std::min(static_cast<std::size_t>(batch), how.batches.size() - 1);
    const index count = std::min(how.batches[number], rows - row);
    if (how.merge && parts.size() < 40) parts.push_back(empty);
    add(parts.back(), row, count);
    row += count;
  }
  if (how.from_the_right) std::reverse(parts.begin(), parts.end());
  for (std::size_t i = 1; i < parts.size(); ++i) parts[0].merge(parts[i]);
  return parts[0];
}
layerwise::cross_moments stream(const streaming& how, const row_major& x, const row_major& y) {
  const index times = how.times(x.rows());
  const row_major all_x = repeated(x, times), all_y = repeated(y, times);
  return stream(how, all_x.rows(), layerwise::cross_moments(),
                [&](layerwise::cross_moments& moments, index first, index count) {
                  moments.add(all_x.middleRows(first, count), all_y.middleRows(first, count));
                });
}

TEST_CASE("linearity of streamed moments lies within its error bound, however rows were split and merged") {
  for (const streaming& how : streamings) {
    CAPTURE(&how - streamings);
    for (const pair_case& c : reference::pair_cases) {
      CAPTURE(std::string_view(c.name));
      const index times = how.times(c.tokens);
      const auto moments = stream(how, x_of(c), y_of(c));
      CHECK(moments.tokens() == c.tokens * times);
      for (const centering center : centerings) {
        CAPTURE(static_cast<int>(center));
        check_fit([&] { return layerwise::linearity(moments, {.centering = center}); },
                  repeated(choose(c.linearity, center), c.tokens, times, center), c.tokens * times);
      }
    }
    for (const stack_case& c : reference::stack_cases)
      for (index l = 1; l < c.layers; ++l) {
        CAPTURE(std::string_view(c.name));
        CAPTURE(l);
        const index times = how.times(c.tokens);
        const auto moments = stream(how, layer_of(c, l - 1), layer_of(c, l));
        const auto& layer = c.layer[static_cast<std::size_t>(l - 1)];
        for (const centering center : centerings) {
          CAPTURE(static_cast<int>(center));
          check_fit([&] { return layerwise::linearity(moments, {.centering = center}); },
                    repeated(choose(layer.linearity, center), c.tokens, times, center), c.tokens * times);
          check_fit([&] { return layerwise::residual_linearity(moments, {.centering = center}); },
                    repeated(choose(layer.residual_linearity, center), c.tokens, times, center), c.tokens * times);
        }
      }
  }
}

TEST_CASE("an error bound says something: below 1e-11 where the problem is well conditioned") {
  for (const pair_case& c : reference::pair_cases) {
    const fit& expected = c.linearity.columns;
    if (!expected.defined || !(expected.condition < 5)) continue;
    CAPTURE(std::string_view(c.name));
    CHECK(layerwise::linearity(x_of(c), y_of(c)).error_bound < 1e-11);
  }
}

// ---- The fitted map ----

void check_map(const layerwise::linear_map& map, const pair_case& c, centering center, double loss) {
  const row_major x = x_of(c), y = y_of(c);
  CHECK(map.weight.rows() == c.x_dimensions);
  CHECK(map.weight.cols() == c.y_dimensions);
  CHECK(map.bias.size() == c.y_dimensions);
  const double y_size = y.cwiseAbs().maxCoeff();

  // Fitted values are unique. What they can be wrong by: the solution's error, and rounding in x * weight +
  // bias.
  const row_major fitted = (x * map.weight).rowwise() + map.bias;
  const values expected = choose(c.fitted, center);
  for (index i = 0; i < static_cast<index>(expected.size()); ++i) {
    const index place = i * reference::sample_stride;
    const double terms =
        (x.cwiseAbs().row(place / c.y_dimensions) * map.weight.cwiseAbs().col(place % c.y_dimensions)).value();
    check_close(fitted.data()[place], at(expected, i), (accuracy + loss) * (terms + y_size));
  }
  check_close(map.bias.cwiseAbs().maxCoeff(), 0, center == centering::none ? 0 : std::numeric_limits<double>::max());

  // The map itself is unique where X has full rank. In units of the columns' spread, a coefficient's relative
  // error is the condition times the fitted values' (plus its square times the residual's): Wedin's theorem.
  const values weight = choose(c.weight, center), bias = choose(c.bias, center);
  if (weight.empty()) return;
  const double condition = choose(c.linearity, center).condition;
  const row_major centered = center == centering::columns ? row_major(x.rowwise() - x.colwise().mean()) : x;
  const double tolerance = (accuracy + loss) * condition * (1 + condition * (1 - choose(c.linearity, center).score));
  if (tolerance > 1e-2) return;
  const double y_norm = (center == centering::columns ? row_major(y.rowwise() - y.colwise().mean()) : y).stableNorm();
  for (index j = 0; j < c.x_dimensions; ++j)
    for (index k = 0; k < c.y_dimensions; ++k)
      check_close(map.weight(j, k), at(weight, j * c.y_dimensions + k),
                  tolerance * (y_norm / centered.col(j).stableNorm()));
  for (index k = 0; k < c.y_dimensions; ++k) {
    double terms = y_size;
    for (index j = 0; j < c.x_dimensions; ++j)
      terms += std::abs(x.col(j).mean()) * (std::abs(map.weight(j, k)) + y_norm / centered.col(j).stableNorm());
    check_close(map.bias[k], at(bias, k), tolerance * terms);
  }
}

TEST_CASE("the fitted map, from data and from moments") {
  for (const pair_case& c : reference::pair_cases)
    for (const centering center : centerings) {
      CAPTURE(std::string_view(c.name));
      CAPTURE(static_cast<int>(center));
      const fit& expected = choose(c.linearity, center);
      const row_major x = x_of(c), y = y_of(c);
      if (!expected.defined) {
        CHECK_THROWS_AS(layerwise::fit_linear_map(x, y, {.centering = center}), layerwise::degenerate_input_error);
        continue;
      }
      const double condition = std::isnan(expected.condition) ? 1 : expected.condition;
      check_map(layerwise::fit_linear_map(x, y, {.centering = center}), c, center, few_ulps * condition);
      check_map(layerwise::fit_linear_map(x, y, {.centering = center, .method = solver::orthogonal}), c, center,
                few_ulps * condition);
      if (moments_cannot_tell(expected)) continue;
      for (const streaming& how : streamings)
        check_map(layerwise::fit_linear_map(stream(how, x, y), {.centering = center}), c, center,
                  few_ulps * condition * condition);
    }
}

// ---- Normalization, angles, contributions ----

TEST_CASE("Procrustes normalization") {
  for (const pair_case& c : reference::pair_cases)
    for (const centering center : centerings) {
      CAPTURE(std::string_view(c.name));
      CAPTURE(static_cast<int>(center));
      const values expected = choose(c.normalized, center);
      for_each_storage(x_of(c), x_of(c), [&](const std::string& storage, const auto& x, const auto&) {
        CAPTURE(storage);
        if (expected.empty()) {
          CHECK_THROWS_AS(layerwise::procrustes_normalize(x, center), layerwise::degenerate_input_error);
          return;
        }
        const row_major normalized = layerwise::procrustes_normalize(x, center);
        CHECK(normalized.rows() == c.tokens);
        CHECK(normalized.cols() == c.x_dimensions);
        for (index i = 0; i < static_cast<index>(expected.size()); ++i)
          check_close(normalized.data()[i * reference::sample_stride], at(expected, i), accuracy);
      });
    }
}

/// Relative tolerance of an angle near 0. Before the rows are subtracted, one is scaled to the other's
/// length. The part of it that does not cancel, |1 - ||v||/||u|||, is rounded there, and the angle is what
/// remains of the difference; an error of the lengths themselves is parallel to the rows, and enters squared.
double angle_tolerance(const row_major& before, const row_major& after, index token, double angular_distance) {
  const double lengths = after.row(token).stableNorm() / before.row(token).stableNorm();
  const double surplus = 1 - std::min(lengths, 1 / lengths);
  const double angle = std::numbers::pi * std::min(angular_distance, 1 - angular_distance);
  if (angle == 0) return accuracy;
  return accuracy + few_ulps * surplus / angle + std::pow(few_ulps / angle, 2);
}

TEST_CASE("cosine, displacement, angular distance and contribution of every token") {
  for (const stack_case& c : reference::stack_cases)
    for (index l = 1; l < c.layers; ++l) {
      CAPTURE(std::string_view(c.name));
      CAPTURE(l);
      const row_major u = layer_of(c, l - 1), v = layer_of(c, l);
      for_each_storage(u, v, [&](const std::string& storage, const auto& before, const auto& after) {
        CAPTURE(storage);
        const Eigen::VectorXd cosine = layerwise::cosine_similarity(before, after);
        const Eigen::VectorXd displacement = layerwise::displacement(before, after);
        const Eigen::VectorXd angle = layerwise::angular_distance(before, after);
        const Eigen::VectorXd contribution = layerwise::contribution_ratio(before, after);
        for (index t = 0; t < c.tokens; ++t) {
          CAPTURE(t);
          const index place = (l - 1) * c.tokens + t;
          const double tolerance = angle_tolerance(u, v, t, at(c.angular_distance, place));
          check_close(cosine[t], at(c.cosine_similarity, place), accuracy);
          check_close(displacement[t], at(c.displacement, place), 2 * tolerance * at(c.displacement, place));
          check_close(angle[t], at(c.angular_distance, place), tolerance * at(c.angular_distance, place));
          check_close(contribution[t], at(c.contribution_ratio, place), accuracy * at(c.contribution_ratio, place));
        }
        const double frobenius = c.layer[static_cast<std::size_t>(l - 1)].contribution_ratio_frobenius;
        check_close(layerwise::contribution_ratio_frobenius(before, after), frobenius, accuracy * frobenius);
      });
    }
}

TEST_CASE("angular distance between the first layer and the last") {
  for (const stack_case& c : reference::stack_cases) {
    CAPTURE(std::string_view(c.name));
    const row_major first = layer_of(c, 0), last = layer_of(c, c.layers - 1);
    const Eigen::VectorXd angle = layerwise::angular_distance(first, last);
    for (index t = 0; t < c.tokens; ++t) {
      const double expected = at(c.first_to_last_angular_distance, t);
      check_close(angle[t], expected, angle_tolerance(first, last, t, expected) * expected);
    }
  }
}

// ---- Profiles ----

void check_optional(const std::optional<linearity_result>& got, const fit& expected, index tokens) {
  CHECK(got.has_value() == expected.defined);
  if (got && expected.defined) check_fit(*got, expected, tokens);
}

/// The profile of the stack, every row of which was repeated.
void check_profile(const layerwise::layer_profile& profile, const stack_case& c, centering center, index times = 1) {
  const auto expected_fit = [&](const auto& pair) { return repeated(choose(pair, center), c.tokens, times, center); };
  CHECK(profile.tokens == c.tokens * times);
  CHECK(profile.dimensions == c.dimensions);
  CHECK(profile.centering == center);
  REQUIRE(static_cast<index>(profile.layers.size()) == c.layers - 1);
  double displacement_error = 0;  // of everything that goes into the jump rates
  for (index l = 1; l < c.layers; ++l) {
    CAPTURE(l);
    const auto& expected = c.layer[static_cast<std::size_t>(l - 1)];
    const auto& got = profile.layers[static_cast<std::size_t>(l - 1)];
    const row_major before = layer_of(c, l - 1), after = layer_of(c, l);
    double angle_error = 0, psi_error = 0;
    for (index t = 0; t < c.tokens; ++t) {
      const index place = (l - 1) * c.tokens + t;
      const double tolerance = angle_tolerance(before, after, t, at(c.angular_distance, place));
      angle_error += tolerance * at(c.angular_distance, place) / c.tokens;
      psi_error += 2 * tolerance * at(c.displacement, place) / c.tokens;
    }
    displacement_error += 2 * psi_error;

    check_optional(got.linearity, expected_fit(expected.linearity), profile.tokens);
    check_optional(got.residual_linearity, expected_fit(expected.residual_linearity), profile.tokens);
    check_close(got.displacement, expected.displacement, psi_error);
    check_close(got.angular_distance, expected.angular_distance, angle_error);
    check_close(got.cosine_similarity, expected.cosine_similarity, accuracy);
    check_close(got.contribution_ratio, expected.contribution_ratio, accuracy * expected.contribution_ratio);
    check_close(got.contribution_ratio_frobenius, expected.contribution_ratio_frobenius,
                accuracy * expected.contribution_ratio_frobenius);
    CHECK(got.outlier_share.has_value() == (expected.outlier_dimension >= 0));
    if (got.outlier_share && expected.outlier_dimension >= 0) {
      CHECK(got.outlier_dimension == index{expected.outlier_dimension});
      check_close(*got.outlier_share, expected.outlier_share, accuracy);
    }
  }
  CHECK_FALSE(profile.layers[0].jump_rate.has_value());
  std::vector<double> displacements;
  for (const auto& layer : profile.layers) displacements.push_back(layer.displacement);
  for (index l = 2; l < c.layers; ++l) {
    CAPTURE(l);
    const double expected = c.layer[static_cast<std::size_t>(l - 1)].jump_rate;
    const auto& got = profile.layers[static_cast<std::size_t>(l - 1)].jump_rate;
    REQUIRE(got.has_value());
    check_close(*got, expected, 100 * displacement_error);
    check_close(layerwise::jump_rate(displacements, l), expected, 100 * displacement_error);
    if (l == c.layers - 1) check_close(layerwise::jump_rate(displacements), expected, 100 * displacement_error);
  }
}

TEST_CASE("profiles: every layer, every layout") {
  for (const stack_case& c : reference::stack_cases)
    for (const centering center : centerings) {
      CAPTURE(std::string_view(c.name));
      CAPTURE(static_cast<int>(center));
      const layerwise::profile_options options{.centering = center};
      const auto layers = layers_of(c);
      check_profile(layerwise::profile(layers, options), c, center);

      const auto layer_major =
          layerwise::hidden_states_view<const double>::layer_major(c.states.data(), c.layers, c.tokens, c.dimensions);
      check_profile(layerwise::profile(layer_major, options), c, center);

      std::vector<double> transposed;
      for (index t = 0; t < c.tokens; ++t)
        for (const row_major& h : layers) transposed.insert(transposed.end(), h.row(t).begin(), h.row(t).end());
      const auto token_major =
          layerwise::hidden_states_view<const double>::token_major(transposed.data(), c.tokens, c.layers, c.dimensions);
      check_profile(layerwise::profile(token_major, options), c, center);

      std::vector<row_major> masked;
      for (const row_major& h : layers) masked.push_back(with_masked_rows(h));
      check_profile(layerwise::profile(masked, options, mask_for(c.tokens)), c, center);

      const auto narrow = [&]<class Scalar>(Scalar) {
        if (!is_exact_in<Scalar>(layers)) return;
        std::vector<Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>> small;
        for (const row_major& h : layers) small.emplace_back(h.cast<Scalar>());
        check_profile(layerwise::profile(small, options), c, center);
      };
      narrow(float());
      narrow(Eigen::half());
      narrow(Eigen::bfloat16());
    }
}

TEST_CASE("streamed profiles, however rows were split and merged") {
  for (const streaming& how : streamings)
    for (const stack_case& c : reference::stack_cases) {
      CAPTURE(&how - streamings);
      CAPTURE(std::string_view(c.name));
      const index times = how.times(c.tokens);
      std::vector<row_major> layers;
      for (const row_major& h : layers_of(c)) layers.push_back(repeated(h, times));
      for (const centering center : centerings) {
        CAPTURE(static_cast<int>(center));
        const auto profiler = stream(how, c.tokens * times, layerwise::layer_profiler({.centering = center}),
                                     [&](layerwise::layer_profiler& part, index first, index count) {
                                       std::vector<row_major> rows;
                                       for (const row_major& h : layers) rows.push_back(h.middleRows(first, count));
                                       part.add(rows);
                                     });
        CHECK(profiler.tokens() == c.tokens * times);
        check_profile(profiler.profile(), c, center, times);
      }
    }
}

// ---- Regularizers ----

/// The size of the terms a token's gradient is made of, which rounding is relative to: the terms of a
/// cosine's gradient are of size 1/||h||, and cancel when the rows are nearly parallel.
double gradient_size(const reference::regularizer_reference& r, const std::vector<row_major>& h, std::size_t l,
                     index t) {
  const double scale = r.lambda / (r.sum ? 1.0 : static_cast<double>(h[0].rows()));
  if (r.kind != reference::regularizer_kind::mse) return scale / h[l].row(t).stableNorm();
  double updates = 0;
  if (l > 0) updates += (h[l].row(t) - h[l - 1].row(t)).stableNorm();
  if (l + 1 < h.size()) updates += (h[l + 1].row(t) - h[l].row(t)).stableNorm();
  return 2 * scale * updates;
}

template <class Regularizer>
void check_regularizer(const Regularizer& regularizer, const reference::regularizer_reference& expected,
                       const stack_case& c, double tolerance) {
  const std::vector<row_major> layers = layers_of(c);
  check_close(regularizer.value(layers), expected.value, tolerance * expected.value);

  std::vector<row_major> gradients;
  for (const row_major& h : layers) gradients.push_back(row_major::Zero(h.rows(), h.cols()));
  check_close(regularizer.value_and_gradient(layers, gradients), expected.value, tolerance * expected.value);
  for (index i = 0; i < static_cast<index>(expected.gradient.size()); ++i) {
    const index place = i * expected.gradient_stride;
    const index l = place / (c.tokens * c.dimensions), t = place / c.dimensions % c.tokens, j = place % c.dimensions;
    CAPTURE(l);
    CAPTURE(t);
    CAPTURE(j);
    check_close(gradients[static_cast<std::size_t>(l)](t, j), at(expected.gradient, i),
                accuracy * gradient_size(expected, layers, static_cast<std::size_t>(l), t));
  }

  // Gradients are added: a second call doubles them.
  const std::vector<row_major> once = gradients;
  regularizer.value_and_gradient(layers, gradients);
  for (std::size_t l = 0; l < once.size(); ++l)
    CHECK((gradients[l] - 2 * once[l]).cwiseAbs().maxCoeff() <= 4 * unit * once[l].cwiseAbs().maxCoeff());

  // Rows that a mask leaves out count for nothing, in the mean neither, and get no gradient.
  std::vector<row_major> masked, masked_gradients;
  for (const row_major& h : layers) masked.push_back(with_masked_rows(h));
  for (const row_major& h : masked) masked_gradients.push_back(row_major::Zero(h.rows(), h.cols()));
  const auto mask = mask_for(c.tokens);
  check_close(regularizer.value_and_gradient(masked, masked_gradients, mask), expected.value,
              tolerance * expected.value);
  for (std::size_t l = 0; l < once.size(); ++l)
    for (index t = 0; t < masked[l].rows(); ++t)
      if (mask.keeps(t))
        CHECK(masked_gradients[l].row(t) == once[l].row(t / 2));
      else
        CHECK(masked_gradients[l].row(t).isZero(0));

  const auto narrow = [&]<class Scalar>(Scalar) {
    if (!is_exact_in<Scalar>(layers)) return;
    std::vector<Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>> small;
    for (const row_major& h : layers) small.emplace_back(h.cast<Scalar>());
    check_close(regularizer.value(small), expected.value, tolerance * expected.value);
  };
  narrow(float());
  narrow(Eigen::half());
  narrow(Eigen::bfloat16());
}

/// Relative tolerance of a sum of (1 - cos), layer l weighted by exp(alpha l): that of its angles.
double turn_tolerance(const stack_case& c, double alpha) {
  double sum = 0, error = 0;
  for (index l = 1; l < c.layers; ++l) {
    const row_major before = layer_of(c, l - 1), after = layer_of(c, l);
    const double weight = std::exp(alpha * static_cast<double>(alpha > 0 ? l - c.layers + 1 : l - 1));
    for (index t = 0; t < c.tokens; ++t) {
      const index place = (l - 1) * c.tokens + t;
      const double term = weight * at(c.displacement, place);
      sum += term;
      error += term * (accuracy + 2 * angle_tolerance(before, after, t, at(c.angular_distance, place)));
    }
  }
  return error / sum;
}

TEST_CASE("regularizers: values and gradients") {
  for (const stack_case& c : reference::stack_cases)
    for (const auto& r : c.regularizer) {
      CAPTURE(std::string_view(c.name));
      CAPTURE(&r - c.regularizer.data());
      const auto how = r.sum ? layerwise::reduction::sum : layerwise::reduction::mean;
      switch (r.kind) {
        case reference::regularizer_kind::mse:
          check_regularizer(layerwise::mse_regularizer{.lambda = r.lambda, .reduction = how}, r, c, accuracy);
          break;
        case reference::regularizer_kind::cosine:
          check_regularizer(layerwise::cosine_regularizer{.lambda = r.lambda, .reduction = how}, r, c,
                            turn_tolerance(c, 0));
          break;
        case reference::regularizer_kind::jreg:
          check_regularizer(layerwise::jreg_regularizer{.lambda = r.lambda, .alpha = r.alpha, .reduction = how}, r, c,
                            turn_tolerance(c, r.alpha));
          break;
      }
    }
}

}  // namespace
