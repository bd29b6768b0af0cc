#include <layerwise/training/penalty.hpp>

#include <layerwise/data/hidden_states_view.hpp>

#include "training/regularizer_checks.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <forward_list>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

using layerwise::cosine_regularizer;
using layerwise::degenerate_input_error;
using layerwise::hidden_states_view;
using layerwise::index;
using layerwise::jreg_regularizer;
using layerwise::mse_regularizer;
using layerwise::non_finite_error;
using layerwise::option_error;
using layerwise::reduction;
using layerwise::shape_error;
using layerwise::token_mask;
using namespace layerwise_test;

static_assert(layerwise::regularizer<mse_regularizer> && layerwise::regularizer<cosine_regularizer> &&
              layerwise::regularizer<jreg_regularizer> && !layerwise::regularizer<int>);

TEST_CASE("penalty() and penalty_and_gradient() are the members") {
  std::mt19937 random(18);
  const states h = random_states(random, 4, 7, 5);
  const token_mask mask = token_mask::skip_first(7, 7, 2);
  const auto check = [&](const auto& r) {
    CHECK(layerwise::penalty(r, h) == r.value(h));
    CHECK(layerwise::penalty(r, h, mask) == r.value(h, mask));
    states g = zeros_like(h), expected = g;
    CHECK(layerwise::penalty_and_gradient(r, h, g, mask) == r.value_and_gradient(h, expected, mask));
    CHECK(g == expected);
  };
  check(mse_regularizer{0.5});
  check(cosine_regularizer{0.5});
  check(jreg_regularizer{.lambda = 0.5, .alpha = 2, .stop_gradient = layerwise::stop_gradient::before});
}

TEST_CASE("values by the definition, gradients by finite differences of it") {
  std::mt19937 random(1);
  std::uniform_int_distribution<index> size(1, 9);
  for (int i = 0; i < 12; ++i) {
    const index layers = 2 + i % 4, n = size(random), d = 1 + size(random);
    const states h = random_states(random, layers, n, d);
    const long_states exact = converted(h);
    for (const regularizer_case& c : all_cases(static_cast<std::size_t>(layers - 1))) {
      CAPTURE(c.name);
      const double sum = static_cast<double>(c.definition(exact));
      CHECK(c.value(h, {}, reduction::sum) == near(sum, 1e-13));
      CHECK(c.value(h, {}, reduction::mean) == near(sum / static_cast<double>(n), 1e-13));

      const long_states expected = finite_differences(c.definition, h);
      double scale = 1;
      for (const long_rows& m : expected) scale = std::max(scale, static_cast<double>(m.cwiseAbs().maxCoeff()));
      states g = zeros_like(h);
      CHECK(c.value_and_gradient(h, g, {}, reduction::sum) == c.value(h, {}, reduction::sum));
      CHECK(largest_difference(g, expected) < 1e-10 * scale);

      states mean = zeros_like(h);
      CHECK(c.value_and_gradient(h, mean, {}, reduction::mean) == c.value(h, {}, reduction::mean));
      for (row_major& m : mean) m *= static_cast<double>(n);
      CHECK(largest_difference(g, mean) < 1e-14 * scale);
    }
  }
}

TEST_CASE("many tokens and wide rows, against the definition") {
  std::mt19937 random(2);
  states h = random_states(random, 5, 333, 101);
  for (std::size_t l = 1; l < h.size(); ++l) h[l] = h[l - 1] + 0.2 * h[l];
  const long_states exact = converted(h);
  for (const regularizer_case& c : all_cases(4)) {
    CAPTURE(c.name);
    CHECK(c.value(h, {}, reduction::sum) == near(static_cast<double>(c.definition(exact)), 1e-13));
  }
}

TEST_CASE("downhill is lower") {
  std::mt19937 random(4);
  for (int i = 0; i < 20; ++i) {
    const index n = 3 + i, d = 2 + i;
    const states h = random_states(random, 4, n, d);
    for (const regularizer_case& c : all_cases(3)) {
      states slope = zeros_like(h), moved = h;
      const double before = c.value_and_gradient(h, slope, {}, reduction::mean);
      for (std::size_t l = 0; l < h.size(); ++l) moved[l] -= 1e-3 * slope[l];
      CHECK(c.value(moved, {}, reduction::mean) < before);
    }
  }
}

TEST_CASE("layers that do not change cost nothing, exactly") {
  std::mt19937 random(5);
  const auto check = [&]<class Scalar>(Scalar) {
    using narrow = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const std::vector<narrow> h(4, random_matrix(random, 40, 77).cast<Scalar>());
    states g(4, row_major::Zero(40, 77));
    CHECK(mse_regularizer{1}.value_and_gradient(h, g) == 0);
    CHECK(cosine_regularizer{1}.value_and_gradient(h, g) == 0);
    CHECK(jreg_regularizer{1, 2}.value_and_gradient(h, g) == 0);
    for (const row_major& m : g) CHECK(m.isZero(0));
  };
  check(double());
  check(float());
  check(Eigen::half());
  check(Eigen::bfloat16());
}

/// Calls f with each regularizer, of these layers.
template <class F>
void for_each_regularizer_with(const layerwise::layer_range& layers, const F& f) {
  f(mse_regularizer{.lambda = 1, .layers = layers});
  f(cosine_regularizer{.lambda = 1, .layers = layers});
  f(jreg_regularizer{.lambda = 1, .alpha = 1, .layers = layers});
}

using pair_term = std::function<long double(const long_rows& before, const long_rows& after)>;

/// The value of the definition where, in the turn or step into each layer, one of the two is the row that it
/// was at `frozen`.
long double sum_of_pairs(const long_states& h, const long_states& frozen, layerwise::stop_gradient stop,
                         const std::vector<long double>& weights, const pair_term& term) {
  using layerwise::stop_gradient;
  long double sum = 0;
  for (std::size_t l = 1; l < h.size(); ++l)
    if (weights[l - 1] != 0)
      sum += weights[l - 1] * term(stop == stop_gradient::before ? frozen[l - 1] : h[l - 1],
                                   stop == stop_gradient::after ? frozen[l] : h[l]);
  return sum;
}

TEST_CASE("some layers, and a constant on one side of each pair") {
  using layerwise::layer_range;
  using layerwise::stop_gradient;
  std::mt19937 random(14);
  const index last = 5, n = 4, d = 6;
  const states h = random_states(random, last + 1, n, d);
  const long_states exact = converted(h);
  const pair_term step = [](const long_rows& a, const long_rows& b) { return steps({a, b}); };
  const pair_term turn = [](const long_rows& a, const long_rows& b) { return turns({a, b}, {1}); };

  const layer_range ranges[] = {{}, {.first = 2}, {.last = 3}, {.first = 2, .last = 4}, {.first = 5}, {1, 1}};
  for (const layer_range& range : ranges)
    for (const auto stop : {stop_gradient::none, stop_gradient::before, stop_gradient::after}) {
      const auto from = static_cast<std::size_t>(range.first), to = static_cast<std::size_t>(range.last.value_or(last));
      CAPTURE(from);
      CAPTURE(to);
      std::vector<long double> even(static_cast<std::size_t>(last), 0.L), soft = even, final_only = even;
      const std::vector<long double> within = softmax_weights(to - from + 1, 0.8);
      for (std::size_t l = from; l <= to; ++l) {
        even[l - 1] = 1;
        soft[l - 1] = within[l - from] / 2;
      }
      final_only[to - 1] = 0.5L;

      // Layers that take no part are not looked at: neither their rows nor those of their gradients.
      states broken = h;
      for (std::size_t l = 0; l < broken.size(); ++l)
        if (l + 1 < from || l > to) broken[l].setConstant(l % 2 == 0 ? 0 : infinity);

      const auto check = [&](auto regularizer, const std::vector<long double>& weights, const pair_term& term) {
        regularizer.reduction = reduction::sum;
        regularizer.layers = range;
        regularizer.stop_gradient = stop;
        const auto definition = [&](const long_states& at) {
          return regularizer.lambda * sum_of_pairs(at, exact, stop, weights, term);
        };
        states g(h.size(), row_major::Constant(n, d, 3));
        const double value = regularizer.value_and_gradient(broken, g);
        CHECK(value == near(static_cast<double>(definition(exact)), 1e-13));
        CHECK(regularizer.value(broken) == value);
        long_states expected = finite_differences(definition, h);
        for (long_rows& m : expected) m.array() += 3;
        CHECK(largest_difference(g, expected) < 1e-9);
        for (std::size_t l = 0; l < g.size(); ++l)
          if (l + 1 < from || l > to) CHECK((g[l].array() == 3).all());
      };
      check(mse_regularizer{0.5}, even, step);
      check(cosine_regularizer{0.75}, even, turn);
      check(jreg_regularizer{2, 0.8}, soft, turn);
      check(jreg_regularizer{2, infinity}, final_only, turn);
      const std::vector<double> w = jreg_regularizer{.lambda = 2, .alpha = 0.8, .layers = range}.weights(last);
      REQUIRE(w.size() == soft.size());
      for (std::size_t l = 0; l < w.size(); ++l) CHECK(std::abs(w[l] - 2 * static_cast<double>(soft[l])) < 1e-15);
    }

  const std::pair<layer_range, std::string> refused[] = {
      {{.first = 0}, "0 to 5"}, {{.first = 6}, "6 to 5"}, {{.last = 6}, "1 to 6"}, {{3, 2}, "3 to 2"}};
  for (const auto& [range, got] : refused)
    for_each_regularizer_with(range, [&, &expected = got](const auto& regularizer) {
      states g(h.size(), row_major::Constant(n, d, 3));
      check_throws<option_error>([&] { (void)regularizer.value(h); }, "layers 1 <= first <= last <= 5", expected,
                                 "layers");
      check_throws<option_error>([&] { (void)regularizer.value_and_gradient(h, g); }, "layers 1 <= first <= last <= 5",
                                 expected, "layers");
      for (const row_major& m : g) CHECK((m.array() == 3).all());
    });
  check_throws<option_error>([] { (void)jreg_regularizer{1, 1}.weights(0); }, "layers 1 <= first <= last <= 0",
                             "1 to 0", "layers");
}

TEST_CASE("gradients are added") {
  std::mt19937 random(7);
  const states h = random_states(random, 3, 6, 5), start = random_states(random, 3, 6, 5);
  for (const regularizer_case& c : all_cases(2)) {
    states alone = zeros_like(h), added = start;
    c.value_and_gradient(h, alone, {}, reduction::mean);
    c.value_and_gradient(h, added, {}, reduction::mean);
    c.value_and_gradient(h, added, {}, reduction::mean);
    for (std::size_t l = 0; l < 3; ++l) CHECK((added[l] - start[l] - 2 * alone[l]).cwiseAbs().maxCoeff() < 1e-14);
  }
}

TEST_CASE("states and gradients of any scalar type and layout") {
  std::mt19937 random(8);
  const index layers = 4, n = 21, d = 35;
  const states wide = random_states(random, layers, n, d);
  const auto check = [&]<class Scalar>(Scalar) {
    using narrow_rows = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    using narrow_columns = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
    const auto rows = converted<narrow_rows>(wide);
    const auto columns = converted<narrow_columns>(wide);
    const auto exact = converted<row_major>(rows);
    const auto all = [&](const auto& regularizer) {
      states expected = zeros_like(wide), g = zeros_like(wide);
      const double value = regularizer.value_and_gradient(exact, expected);
      CHECK(regularizer.value_and_gradient(rows, g) == value);
      CHECK(largest_difference(g, expected) == 0);
      g = zeros_like(wide);
      CHECK(regularizer.value_and_gradient(std::forward_list<narrow_columns>(columns.begin(), columns.end()), g) ==
            value);
      CHECK(largest_difference(g, expected) == 0);

      // Gradients in the short type are the long ones, rounded once.
      std::vector<narrow_columns> narrow(layers, narrow_columns::Zero(n, d));
      CHECK(regularizer.value_and_gradient(columns, narrow) == value);
      CHECK(largest_difference(narrow, converted<narrow_columns>(expected)) == 0);

      // [token][layer][dim], states and gradients, the latter a temporary view.
      std::vector<Scalar> dump(static_cast<std::size_t>(layers * n * d)), slopes(dump.size(), Scalar(0));
      const auto h = hidden_states_view<Scalar>::token_major(dump.data(), n, layers, d);
      for (index l = 0; l < layers; ++l)
        for (index t = 0; t < n; ++t)
          for (index j = 0; j < d; ++j) h[l](t, j) = rows[static_cast<std::size_t>(l)](t, j);
      CHECK(regularizer.value(h) == value);
      CHECK(regularizer.value_and_gradient(h, hidden_states_view<Scalar>::token_major(slopes.data(), n, layers, d)) ==
            value);
      // [dim][token][layer]: no stride is 1 but the layers'
      std::vector<double> strided(dump.size());
      const hidden_states_view<double> spread(strided.data(), layers, n, d, 1, layers, layers * n);
      CHECK(regularizer.value_and_gradient(h, spread) == value);
      bool equal = true, equal_spread = true;
      for (index l = 0; l < layers; ++l)
        for (index t = 0; t < n; ++t)
          for (index j = 0; j < d; ++j) {
            const double g_ltj = expected[static_cast<std::size_t>(l)](t, j);
            equal = equal && slopes[static_cast<std::size_t>((t * layers + l) * d + j)] == static_cast<Scalar>(g_ltj);
            equal_spread = equal_spread && spread[l](t, j) == g_ltj;
          }
      CHECK(equal);
      CHECK(equal_spread);
    };
    all(mse_regularizer{0.5});
    all(cosine_regularizer{0.5});
    all(jreg_regularizer{1, 0.5, reduction::sum});
  };
  check(double());
  check(float());
  check(Eigen::half());
  check(Eigen::bfloat16());

  // Lazy expressions as states, blocks as gradients.
  const auto sum_of = [&](std::size_t l) { return wide[l] + wide[0]; };
  const std::array lazy{sum_of(1), sum_of(2), sum_of(3)};
  const states eager{sum_of(1), sum_of(2), sum_of(3)};
  CHECK(cosine_regularizer{1}.value(lazy) == cosine_regularizer{1}.value(eager));
  row_major board = row_major::Ones(2 * n, d + 2);
  std::vector blocks{board.block(0, 1, n, d), board.block(n, 2, n, d)};
  const states first_two{wide[0], wide[1]};
  states expected(2, row_major::Ones(n, d));
  cosine_regularizer{1}.value_and_gradient(first_two, expected);
  cosine_regularizer{1}.value_and_gradient(first_two, blocks);
  CHECK(board.block(0, 1, n, d) == expected[0]);
  CHECK(board.block(n, 2, n, d) == expected[1]);
  CHECK(board.col(0).isOnes(0));
}

TEST_CASE("a mask is as good as leaving the tokens out") {
  std::mt19937 random(9);
  std::bernoulli_distribution coin(0.4);
  const index n = 70, d = 9;
  const states h = random_states(random, 3, n, d);
  std::vector<bool> keep(static_cast<std::size_t>(n));
  for (std::size_t t = 0; t < keep.size(); ++t) keep[t] = coin(random);
  const token_mask mask(keep);
  const std::vector<index> kept = mask.rows(n);

  states broken = h, selected;
  for (row_major& m : broken)
    for (index t = 0; t < n; ++t)
      if (!mask.keeps(t)) m.row(t).setConstant(t % 2 == 0 ? 0 : infinity);
  for (const row_major& m : h) selected.push_back(rows_of(m, kept));

  for (const regularizer_case& c : all_cases(2))
    for (const reduction how : {reduction::mean, reduction::sum}) {
      states expected = zeros_like(selected), g(3, row_major::Constant(n, d, 7));
      const double value = c.value_and_gradient(selected, expected, {}, how);
      CHECK(c.value(broken, mask, how) == value);
      CHECK(c.value_and_gradient(broken, g, mask, how) == value);
      for (std::size_t l = 0; l < 3; ++l) {
        CHECK((rows_of(g[l], kept).array() - 7 - expected[l].array()).abs().maxCoeff() < 1e-14);
        for (index t = 0; t < n; ++t)
          if (!mask.keeps(t)) CHECK((g[l].row(t).array() == 7).all());
      }
    }
}

#ifdef _OPENMP
TEST_CASE("the same to the bit for any number of threads") {
  std::mt19937 random(10);
  const states h = random_states(random, 4, 203, 40);
  const int threads = omp_get_max_threads();
  for (const regularizer_case& c : all_cases(3)) {
    omp_set_num_threads(1);
    states expected = zeros_like(h);
    const double value = c.value_and_gradient(h, expected, {}, reduction::mean);
    for (const int count : {2, 3, 7}) {
      omp_set_num_threads(count);
      states g = zeros_like(h);
      CHECK(c.value_and_gradient(h, g, {}, reduction::mean) == value);
      CHECK(largest_difference(g, expected) == 0);
    }
  }
  omp_set_num_threads(threads);
}
#endif

TEST_CASE("for any finite lambda and rows what is within the range of double comes, the rest is refused") {
  std::mt19937 random(16);
  std::normal_distribution<double> normal;
  const auto any_size = [&] {
    std::uniform_int_distribution<int> power(-1074, 1022);
    return std::ldexp(normal(random), std::bernoulli_distribution(0.3)(random) ? 0 : power(random));
  };
  const auto largest = static_cast<long double>(std::numeric_limits<double>::max());
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    const index layers = 2 + i % 3, d = 1 + i % 19;
    states h;
    for (index l = 0; l < layers; ++l) {
      h.push_back(any_size() * random_matrix(random, 1, d));
      if (i % 5 == 0) h.back() = h.front();
      if (i % 5 == 1) h.back() *= h.front().norm() / h.back().norm();
      if (i % 7 == 0) h.back()(0, i % d) = any_size();
      if (!h.back().allFinite() || h.back().isZero(0)) h.back().setConstant(1e-320);
    }
    const double lambda = i % 11 == 0 ? std::numeric_limits<double>::max() : i % 11 == 1 ? 0 : any_size();
    const long_states exact = converted(h);
    // Turns are known to 1e-18 only: 1 - c cancels in the reference.
    const auto check = [&](const auto& regularizer, long double value, const long_states& slopes, long double unsure) {
      CAPTURE(i);
      CAPTURE(lambda);
      const long double factor = lambda;
      states g = zeros_like(h);
      const auto call = [&] { return regularizer.value_and_gradient(h, g); };
      const auto size_of = [&](std::size_t l) {
        return unsure > 0 ? 1 / exact[l].norm() : slopes[l].cwiseAbs().maxCoeff();
      };
      const auto beyond = [&](long double limit, long double more) {
        bool found = std::abs(factor) * (value + more) > limit;
        for (std::size_t l = 0; l < h.size(); ++l)
          found = found || std::abs(factor) * (slopes[l].cwiseAbs().maxCoeff() + more * size_of(l)) > limit;
        return found;
      };
      if (beyond(1.000001L * largest, -unsure)) {
        ++refused;
        CHECK_THROWS_AS((void)call(), non_finite_error);
        return;
      }
      if (beyond(0.999999L * largest, unsure)) return;  // rounding decides
      const double found = call();
      CHECK(found == regularizer.value(h));
      CHECK(static_cast<double>(std::abs(static_cast<long double>(found) - factor * value)) <=
            std::max(5e-324, static_cast<double>(std::abs(factor) * (1e-13L * value + unsure))));
      for (std::size_t l = 0; l < h.size(); ++l)
        CHECK(static_cast<double>((g[l].cast<long double>() - factor * slopes[l]).cwiseAbs().maxCoeff()) <=
              std::max(5e-324, static_cast<double>(std::abs(factor) * 1e-14L * size_of(l))));
    };
    long_states bends = exact;
    for (std::size_t l = 0; l < h.size(); ++l) {
      bends[l].setZero();
      if (l > 0) bends[l] += 2 * (exact[l] - exact[l - 1]);
      if (l + 1 < h.size()) bends[l] -= 2 * (exact[l + 1] - exact[l]);
    }
    check(mse_regularizer{lambda}, steps(exact), bends, 0);
    const std::vector<long double> even(h.size() - 1, 1),
        shares(h.size() - 1, 0.5L / static_cast<long double>(layers - 1));
    check(cosine_regularizer{lambda}, turns(exact, even), turn_gradients(exact, even), 1e-18L);
    check(jreg_regularizer{lambda, 0}, turns(exact, shares), turn_gradients(exact, shares), 1e-18L);
  }
  CHECK(refused > 300);
}

/// Calls check(call) for value and for value_and_gradient of all three regularizers, with gradients that must
/// come out as they went in.
template <class States, class Check>
void for_each_call(const States& h, const states& gradients, const token_mask& mask, const Check& check) {
  const auto both = [&](const auto& regularizer) {
    check([&] { (void)regularizer.value(h, mask); });
    states g = gradients;
    check([&] { (void)regularizer.value_and_gradient(h, g, mask); });
    for (std::size_t l = 0; l < g.size(); ++l) CHECK(g[l] == gradients[l]);
  };
  both(mse_regularizer{1});
  both(cosine_regularizer{1});
  both(jreg_regularizer{1, 1});
}

TEST_CASE("bad input is refused, with its place, before any gradient is touched") {
  std::mt19937 random(12);
  const states h = random_states(random, 3, 4, 5), g = random_states(random, 3, 4, 5);

  for_each_call(states{h[0]}, g, {}, [](const auto& call) {
    check_throws<shape_error>(call, "hidden states h_0 ... h_L of at least 2 layers", "1", "hidden_states");
  });
  for_each_call(states{h[0], h[1], row_major::Ones(5, 4)}, g, {}, [](const auto& call) {
    check_throws<shape_error>(call, "a matrix of 4 x 5", "5 x 4", "hidden_states, layer 2");
  });
  for_each_call(states(3, row_major(0, 5)), states(3, row_major(0, 5)), {}, [](const auto& call) {
    check_throws<degenerate_input_error>(call, "a matrix with rows and columns", "0 x 5", "hidden_states, layer 0");
  });
  for_each_call(h, g, token_mask(std::vector<bool>(7, true)),
                [](const auto& call) { check_throws<shape_error>(call, "a mask of 4 tokens", "7", "token_mask"); });
  for_each_call(h, g, token_mask(std::vector<bool>(4, false)), [](const auto& call) {
    check_throws<degenerate_input_error>(call, "a mask that keeps a token", "0 of 4", "token_mask");
  });
  for (const double bad : {infinity, -infinity, std::numeric_limits<double>::quiet_NaN()}) {
    const std::string got = std::isnan(bad) ? "nan" : bad > 0 ? "inf" : "-inf";
    states copy = g;
    const auto check = [&](const auto& call) { check_throws<non_finite_error>(call, "a finite value", got, "lambda"); };
    check([&] { (void)mse_regularizer{bad}.value(h); });
    check([&] { (void)cosine_regularizer{bad}.value_and_gradient(h, copy); });
    check([&] { (void)jreg_regularizer{bad, 0}.value(h); });
  }
  check_throws<non_finite_error>([&] { (void)jreg_regularizer{1, std::numeric_limits<double>::quiet_NaN()}.value(h); },
                                 "a number", "nan", "alpha");

  const auto refused_gradients = [&](std::vector<Eigen::MatrixXf> bad, const std::string& expected,
                                     const std::string& got, const std::string& at) {
    for (auto& m : bad) m.setConstant(3);
    const auto both = [&](const auto& regularizer) {
      check_throws<shape_error>([&] { (void)regularizer.value_and_gradient(h, bad); }, expected, got, at);
    };
    both(mse_regularizer{1});
    both(cosine_regularizer{1});
    both(jreg_regularizer{1, 0});
    for (const auto& m : bad) CHECK((m.array() == 3).all());
  };
  const auto m = [](index rows, index cols) { return Eigen::MatrixXf(rows, cols); };
  refused_gradients({m(4, 5), m(4, 5)}, "gradients of 3 layers, as the hidden states have", "2", "gradients");
  refused_gradients({m(4, 5), m(4, 5), m(4, 5), m(4, 5)}, "gradients of 3 layers, as the hidden states have", "4",
                    "gradients");
  refused_gradients({m(4, 5), m(5, 4), m(4, 5)}, "a matrix of 4 x 5", "5 x 4", "gradients, layer 1");
}

TEST_CASE("a bad row is refused with layer, row and column") {
  std::mt19937 random(13);
  const states h = random_states(random, 3, 40, 5);
  for (const double bad : {infinity, std::numeric_limits<double>::quiet_NaN()})
    for (const std::size_t layer : {0u, 1u, 2u}) {
      states broken = h;
      broken[layer](33, 2) = bad;
      const std::string at = "hidden_states, layer " + std::to_string(layer) + ", row 33, column 2";
      const auto check = [&](const auto& regularizer) {
        const std::string got = bad == infinity ? "inf" : "nan";
        check_throws<non_finite_error>([&] { (void)regularizer.value(converted<Eigen::MatrixXf>(broken)); },
                                       "finite values", got, at);
        states g = zeros_like(h);
        check_throws<non_finite_error>([&] { (void)regularizer.value_and_gradient(broken, g); }, "finite values", got,
                                       at);
        CHECK_NOTHROW((void)regularizer.value(broken, token_mask::skip_first(40, 40, 34)));
        // The row is counted in the caller's matrix, not among the kept ones.
        check_throws<non_finite_error>([&] { (void)regularizer.value(broken, token_mask::skip_first(40, 10, 3)); },
                                       "finite values", got, at);
      };
      check(mse_regularizer{1});
      check(cosine_regularizer{1});
      check(jreg_regularizer{1, infinity});

      broken[layer].row(33).setZero();
      const auto check_zero = [&](const auto& regularizer) {
        const std::string zero_at = "hidden_states, layer " + std::to_string(layer) + ", row 33";
        const std::string expected = "a row other than zero, where an angle is asked for";
        states g = zeros_like(h);
        check_throws<degenerate_input_error>([&] { (void)regularizer.value(broken); }, expected, "a row of zeros",
                                             zero_at);
        check_throws<degenerate_input_error>([&] { (void)regularizer.value_and_gradient(broken, g); }, expected,
                                             "a row of zeros", zero_at);
      };
      check_zero(cosine_regularizer{1});
      check_zero(jreg_regularizer{1, 0});
      CHECK_NOTHROW((void)mse_regularizer{1}.value(broken));
    }
}

}  // namespace
