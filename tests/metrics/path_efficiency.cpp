#include <layerwise/metrics/path_efficiency.hpp>

#include "identical.hpp"
#include "support.hpp"

#include <layerwise/metrics/angular_distance.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <vector>

namespace {

using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::non_finite_error;
using layerwise::path_efficiency;
using layerwise::shape_error;
using layerwise::token_mask;
using namespace layerwise_test;

/// One token that turns by these angles in a plane, of lengths 1, 2, 3 ...
std::vector<row_major> plane_path(const std::vector<double>& turns) {
  std::vector<row_major> states(1, row_major(1, 2));
  states[0] << 1, 0;
  double angle = 0, length = 1;
  for (const double turn : turns) {
    angle += turn, length += 1;
    states.emplace_back(1, 2);
    states.back() << length * std::cos(angle), length * std::sin(angle);
  }
  return states;
}

std::vector<row_major> random_states(std::uint64_t seed, index n, index d, double step) {
  std::mt19937_64 random(seed);
  std::vector<row_major> states{random_matrix(random, n, d)};
  for (int l = 1; l <= 6; ++l) states.push_back(states.back() + step * random_matrix(random, n, d));
  return states;
}

TEST_CASE("worked values: one way is 1, to and fro and around the circle less, back is 0") {
  const double pi = std::numbers::pi;
  CHECK(path_efficiency(plane_path({0.3, 0.5, 1e-7})) == near(1.0, 1e-14));
  CHECK(path_efficiency(plane_path({pi / 2, pi / 2})) == near(1.0, 1e-14));
  CHECK(path_efficiency(plane_path({0.5, -0.25})) == near(1.0 / 3, 1e-14));
  CHECK(path_efficiency(plane_path({2 * pi / 3, 2 * pi / 3})) == near(0.5, 1e-14));
  CHECK(path_efficiency(plane_path({1.0})) == 1.0);
  CHECK(path_efficiency(plane_path({1.0, 0.0})) == near(1.0, 1e-15));
  auto back = plane_path({1.0, 0.5});
  back[2] = back[0] * 4.0;
  CHECK(path_efficiency(back) == 0.0);
  // Around the corners of an octant: three right angles, of which one is left.
  std::vector<row_major> octant(3, row_major::Zero(1, 3));
  for (int l = 0; l < 3; ++l) octant[static_cast<std::size_t>(l)](0, l) = 1;
  CHECK(path_efficiency(octant) == near(0.5, 1e-15));
}

TEST_CASE("the mean over tokens of angles of pairs of layers; within [0, 1]; small turns are a random walk's") {
  for (const double step : {1e-9, 1e-3, 1.0}) {
    const auto states = random_states(1, 150, 200, step);
    const Eigen::VectorXd whole = layerwise::angular_distance(states.front(), states.back());
    Eigen::VectorXd way = Eigen::VectorXd::Zero(150);
    for (std::size_t l = 1; l < states.size(); ++l) way += layerwise::angular_distance(states[l - 1], states[l]);
    double sum = 0;
    for (index i = 0; i < 150; ++i) sum += whole[i] / way[i];
    const double got = path_efficiency(states);
    CHECK(got == near(sum / 150, 1e-13));
    CHECK(got <= 1.0);
    if (step < 1) CHECK(got == near(1 / std::sqrt(6.0), 0.03));
  }
}

TEST_CASE("lengths, rotations and the number of threads do not matter; a mask leaves out") {
  const auto states = random_states(2, 200, 9, 0.4);
  const double expected = path_efficiency(states);
  std::mt19937_64 random(3);
  const Eigen::VectorXd v = random_matrix(random, 9, 1).col(0).normalized();
  const row_major turn = row_major::Identity(9, 9) - 2.0 * v * v.transpose();
  auto other = states, marked = states;
  for (std::size_t l = 0; l < other.size(); ++l)
    other[l] = states[l] * turn * std::ldexp(1.0, static_cast<int>(200 * l) - 600);
  CHECK(path_efficiency(other) == near(expected, 1e-13));
  for (const int threads : {1, 2}) CHECK(with_threads(threads, [&] { return path_efficiency(states); }) == expected);
  std::vector<bool> keep(200, true);
  keep[3] = keep[150] = false;
  marked[2].row(3).setZero(), marked[0](150, 1) = std::numeric_limits<double>::quiet_NaN();
  CHECK(path_efficiency(marked, token_mask(keep)) == path_efficiency(states, token_mask(keep)));
}

TEST_CASE("what is refused") {
  auto states = random_states(4, 5, 3, 0.4);
  check_throws<shape_error>([&] { path_efficiency(std::vector<row_major>(1, states[0])); },
                            "hidden states h_0 ... h_L of at least 2 layers", "1", "hidden_states");
  check_throws<degenerate_input_error>([&] { path_efficiency(states, token_mask(std::vector<bool>(5, false))); },
                                       "at least one token", "none", "hidden_states");
  for (std::size_t l = 0; l < states.size(); ++l) states[l].row(2) << 1.0, -2.0, 0.5;
  check_throws<degenerate_input_error>([&] { path_efficiency(states); }, "a row that some layer turns",
                                       "one direction in all layers", "hidden_states, row 2");
  states[3](1, 0) = -std::numeric_limits<double>::infinity();
  check_throws<non_finite_error>([&] { path_efficiency(states); }, "finite values", "-inf",
                                 "hidden_states, layer 3, row 1, column 0");
  states[1].row(0).setZero();
  check_throws<degenerate_input_error>([&] { path_efficiency(states); },
                                       "a row other than zero, where an angle is asked for", "a row of zeros",
                                       "hidden_states, layer 1, row 0");
}

}  // namespace
