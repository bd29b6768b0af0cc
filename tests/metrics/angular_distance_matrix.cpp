#include <layerwise/metrics/angular_distance_matrix.hpp>

#include "identical.hpp"
#include "laws/pair_metric_laws.hpp"
#include "support.hpp"

#include <layerwise/data/hidden_states_view.hpp>
#include <layerwise/metrics/angular_distance.hpp>
#include <layerwise/metrics/block_influence.hpp>
#include <layerwise/metrics/displacement.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <vector>

namespace {

using layerwise::angular_distance_matrix;
using layerwise::best_block;
using layerwise::block_influence;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::non_finite_error;
using layerwise::shape_error;
using namespace layerwise_test;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

std::vector<row_major> random_states(std::uint64_t seed, index n, index d, index layers) {
  std::mt19937_64 random(seed);
  std::vector<row_major> states{random_matrix(random, n, d)};
  for (index l = 1; l < layers; ++l) states.push_back(states.back() + 0.4 * random_matrix(random, n, d));
  return states;
}

TEST_CASE("worked value: (1, 0), (1, 1), (0, 2); where arccos finds 5e-9 there is 0") {
  std::vector<row_major> states(3, row_major(1, 2));
  states[0] << 1, 0;
  states[1] << 1, 1;
  states[2] << 0, 2;
  const Eigen::MatrixXd got = angular_distance_matrix(states);
  Eigen::MatrixXd expected(3, 3);
  expected << 0, 0.25, 0.5, 0.25, 0, 0.25, 0.5, 0.25, 0;
  CHECK((got - expected).cwiseAbs().maxCoeff() < 1e-16);
  CHECK(got.diagonal().cwiseAbs().maxCoeff() == 0.0);
  // What others do: divided by the norms, arccos of the dot product.
  const Eigen::RowVectorXd unit = states[1].row(0) / states[1].row(0).norm();
  CHECK(std::acos(unit.dot(unit)) / std::numbers::pi > 1e-9);
  // Or of one above 1, which is NaN.
  std::mt19937_64 random(6);
  Eigen::RowVectorXd one = random_matrix(random, 1, 5);
  while (!std::isnan(std::acos((one / one.norm()).dot(one / one.norm())))) one = random_matrix(random, 1, 5);
  CHECK(angular_distance_matrix(std::vector{row_major(one), row_major(one)}).cwiseAbs().maxCoeff() == 0.0);
  // The same between layers that are multiples of one another.
  states[2] = states[1] * 3.0;
  CHECK(angular_distance_matrix(states)(1, 2) < 1e-15);
}

TEST_CASE("each entry is the mean of angular_distance, of the tokens that the mask keeps; any number of threads") {
  const auto states = random_states(1, 300, 19, 5);
  const Eigen::MatrixXd all = angular_distance_matrix(states);
  std::vector<bool> keep;
  for (int i = 0; i < 300; ++i) keep.push_back(i % 5 != 2);
  auto marked = states;
  marked[3](7, 4) = nan, marked[1].row(2).setZero();
  const Eigen::MatrixXd kept = angular_distance_matrix(marked, layerwise::token_mask(keep));
  for (std::size_t l = 0; l < 5; ++l)
    for (std::size_t m = 0; m < 5; ++m) {
      const Eigen::VectorXd angles = layerwise::angular_distance(states[l], states[m]);
      double sum = 0;
      for (index i = 0; i < 300; ++i) sum += i % 5 != 2 ? angles[i] : 0.0;
      const auto row = static_cast<index>(l), column = static_cast<index>(m);
      CHECK(all(row, column) == doctest::Approx(angles.mean()).epsilon(1e-14));
      CHECK(kept(row, column) == doctest::Approx(sum / 240).epsilon(1e-14));
      CHECK(all(row, column) == all(column, row));
    }
  for (const int threads : {1, 2, 3})
    check_identical(with_threads(threads, [&] { return angular_distance_matrix(states); }).reshaped(), all.reshaped());
}

TEST_CASE("layers one after the other or token by token in one array, and any scale") {
  const auto states = random_states(2, 20, 6, 4);
  Eigen::VectorXf by_layer(4 * 20 * 6), by_token(4 * 20 * 6);
  std::vector<row_major> rounded(4, row_major(20, 6)), scaled = rounded;
  for (index l = 0; l < 4; ++l)
    for (index i = 0; i < 20; ++i)
      for (index j = 0; j < 6; ++j) {
        const auto layer = static_cast<std::size_t>(l);
        const auto value = static_cast<float>(states[layer](i, j));
        by_layer[(l * 20 + i) * 6 + j] = by_token[(i * 4 + l) * 6 + j] = value;
        rounded[layer](i, j) = static_cast<double>(value);
        scaled[layer](i, j) = std::ldexp(static_cast<double>(value), l % 2 == 0 ? 900 : -900);
      }
  using view = layerwise::hidden_states_view<const float>;
  const Eigen::MatrixXd expected = angular_distance_matrix(rounded);
  check_identical(angular_distance_matrix(view::layer_major(by_layer.data(), 4, 20, 6)).reshaped(),
                  expected.reshaped());
  check_identical(angular_distance_matrix(view::token_major(by_token.data(), 20, 4, 6)).reshaped(),
                  expected.reshaped());
  CHECK((angular_distance_matrix(scaled) - expected).cwiseAbs().maxCoeff() < 1e-15);
}

TEST_CASE("small angles, in long double") {
  std::mt19937_64 random(3);
  for (const double size : {1e-15, 1e-9, 1e-4}) {
    CAPTURE(size);
    row_major first = row_major::Zero(40, 8), second = first;
    first.col(0).setOnes(), second.col(0).setOnes();
    second.rightCols(7) = size * random_matrix(random, 40, 7);
    long double sum = 0;
    for (index i = 0; i < 40; ++i) sum += std::atan(second.row(i).tail(7).cast<long double>().norm());
    const Eigen::MatrixXd got = angular_distance_matrix(std::vector{first, second});
    CHECK(got(0, 1) == near(static_cast<double>(sum / 40 / std::numbers::pi_v<long double>), 1e-13));
  }
}

TEST_CASE("the best block: least, and first of equals; h_0 is one to start from") {
  Eigen::MatrixXd distances = Eigen::MatrixXd::Zero(5, 5);
  const auto set = [&](index l, index m, double value) { distances(l, m) = distances(m, l) = value; };
  set(0, 1, .3), set(1, 2, .2), set(2, 3, .1), set(3, 4, .1);
  set(0, 2, .15), set(1, 3, .25), set(2, 4, .4), set(0, 3, .5), set(1, 4, .5), set(0, 4, .7);
  const auto one = best_block(distances, 1), two = best_block(distances, 2), all = best_block(distances, 4);
  CHECK(one.start == 2);
  CHECK(one.distance == .1);
  CHECK(two.start == 0);
  CHECK(two.layers == 2);
  CHECK(two.distance == .15);
  CHECK(best_block(distances, 3).start == 0);
  CHECK(all.start == 0);
  CHECK(all.distance == .7);
  check_throws<shape_error>([&] { best_block(distances, 5); }, "1..4 layers", "5", "best_block");
  check_throws<shape_error>([&] { best_block(distances, 0); }, "1..4 layers", "0", "best_block");
  check_throws<shape_error>([&] { best_block(distances.topRows(4), 1); }, "a matrix of (L + 1) x (L + 1), L >= 1",
                            "4 x 5", "best_block");
  set(1, 2, nan);
  check_throws<non_finite_error>([&] { best_block(distances, 1); }, "finite values", "nan",
                                 "best_block, row 1, column 2");
}

struct influence {
  double operator()(const auto& x, const auto& y, const layerwise::token_mask& mask = {}) const {
    return block_influence(x, y, mask);
  }
};

TEST_CASE("block influence is twice the mean displacement, and 1 - cos") {
  laws::forms_threads_and_masks(influence());
  const auto states = random_states(4, 300, 19, 2);
  const double twice = 2 * layerwise::displacement(states[0], states[1]).mean();
  CHECK(block_influence(states[0], states[1]) == near(twice, 1e-14));
  row_major x(3, 2), y(3, 2);
  x << 1, 0, 1, 0, 1, 0;
  y << 2, 0, 0, 3, -1, 0;
  CHECK(block_influence(x, y) == 1.0);
  y(1, 1) = 0;
  check_throws<degenerate_input_error>([&] { block_influence(x, y); },
                                       "a row other than zero, where an angle is asked for", "a row of zeros",
                                       "after, row 1");
  const layerwise::token_mask nothing(std::vector<bool>(3, false)), first(std::vector<bool>{true, false, false});
  CHECK(block_influence(x, y, first) == 0.0);
  check_throws<degenerate_input_error>([&] { block_influence(x, y, nothing); }, "at least one token", "none", "before");
  check_throws<shape_error>([&] { block_influence(x, y.topRows(2)); }, "a matrix of 3 x 2", "2 x 2", "after");
  check_refused<degenerate_input_error>([&] { block_influence(row_major(0, 2), row_major(0, 2)); });
}

TEST_CASE("what is refused") {
  auto states = random_states(5, 6, 3, 3);
  const layerwise::token_mask nothing(std::vector<bool>(6, false)), longer(std::vector<bool>(7, true));
  check_throws<degenerate_input_error>([&] { angular_distance_matrix(states, nothing); }, "at least one token", "none",
                                       "hidden_states");
  check_throws<shape_error>([&] { angular_distance_matrix(states, longer); }, "a mask of 6 tokens", "7", "token_mask");
  states[1](4, 2) = HUGE_VAL;
  check_throws<non_finite_error>([&] { angular_distance_matrix(states); }, "finite values", "inf",
                                 "hidden_states, layer 1, row 4, column 2");
  states[1].row(4).setZero();
  check_throws<degenerate_input_error>([&] { angular_distance_matrix(states); },
                                       "a row other than zero, where an angle is asked for", "a row of zeros",
                                       "hidden_states, layer 1, row 4");
  states[2].resize(6, 4);
  check_throws<shape_error>([&] { angular_distance_matrix(states); }, "a matrix of 6 x 3", "6 x 4",
                            "hidden_states, layer 2");
  states.resize(1);
  check_throws<shape_error>([&] { angular_distance_matrix(states); }, "hidden states h_0 ... h_L of at least 2 layers",
                            "1", "hidden_states");
}

}  // namespace
