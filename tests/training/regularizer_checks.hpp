// What the tests of the regularizers share: their definitions in extended precision, values and gradients.
#pragma once

#include <layerwise/training/cosine.hpp>
#include <layerwise/training/jreg.hpp>
#include <layerwise/training/mse.hpp>

#include "support.hpp"

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace layerwise_test {

inline constexpr double infinity = std::numeric_limits<double>::infinity();

using long_rows = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using states = std::vector<row_major>;
using long_states = std::vector<long_rows>;

template <class Generator>
states random_states(Generator& random, layerwise::index layers, layerwise::index n, layerwise::index d) {
  states h;
  for (layerwise::index l = 0; l < layers; ++l) h.push_back(random_matrix(random, n, d));
  return h;
}

/// Two tokens: one turns by 90 degrees and comes back at twice the length, the other only grows.
inline states worked_example() {
  states h(3, row_major(2, 2));
  h[0] << 1, 0, 3, 4;
  h[1] << 0, 1, 6, 8;
  h[2] << 2, 0, 9, 12;
  return h;
}

inline states zeros_like(const states& h) { return states(h.size(), row_major::Zero(h[0].rows(), h[0].cols())); }

template <class Matrix = long_rows, class States>
std::vector<Matrix> converted(const States& h) {
  std::vector<Matrix> result;
  for (const auto& m : h) result.push_back(m.template cast<typename Matrix::Scalar>());
  return result;
}

// The definitions, in extended precision: sums over tokens, times lambda = 1.

inline long double steps(const long_states& h) {
  long double sum = 0;
  for (std::size_t l = 1; l < h.size(); ++l) sum += (h[l] - h[l - 1]).squaredNorm();
  return sum;
}

inline std::vector<long double> softmax_weights(std::size_t layers, double alpha) {
  std::vector<long double> w;
  long double sum = 0;
  for (std::size_t l = 1; l <= layers; ++l) {
    w.push_back(std::exp(static_cast<long double>(alpha) * static_cast<long double>(l)));
    sum += w.back();
  }
  for (long double& x : w) x /= sum;
  return w;
}

inline long double turns(const long_states& h, const std::vector<long double>& weights) {
  long double sum = 0;
  for (std::size_t l = 1; l < h.size(); ++l)
    for (layerwise::index t = 0; t < h[l].rows(); ++t) {
      const auto u = h[l - 1].row(t), v = h[l].row(t);
      sum += weights[l - 1] * (1 - u.dot(v) / (u.norm() * v.norm()));
    }
  return sum;
}

/// The gradients of turns, by the formula, with v - c (||v|| / ||h||) h as a projection.
inline long_states turn_gradients(const long_states& h, const std::vector<long double>& weights) {
  long_states g;
  for (std::size_t l = 0; l < h.size(); ++l) {
    g.push_back(long_rows::Zero(h[l].rows(), h[l].cols()));
    for (const std::size_t other : {l - 1, l + 1}) {  // l - 1 is none for l = 0
      if (other >= h.size()) continue;
      for (layerwise::index t = 0; t < h[l].rows(); ++t) {
        const auto u = h[l].row(t), v = h[other].row(t);
        const long double size = u.norm(), product = (u / size).dot(v);
        g[l].row(t) -= weights[std::max(l, other) - 1] / size * (v - product * (u / size)) / v.norm();
      }
    }
  }
  return g;
}

inline long double largest_of(const long_states& h) {
  long double largest = 0;
  for (const long_rows& m : h) largest = std::max(largest, m.cwiseAbs().maxCoeff());
  return largest;
}

/// d f / d h, by central differences of two step widths, extrapolated to none: errors of 1e-14 or so in a
/// function of order one.
inline long_states finite_differences(const std::function<long double(const long_states&)>& f, const states& at) {
  long_states h = converted(at), gradient = converted(zeros_like(at));
  for (std::size_t l = 0; l < h.size(); ++l)
    for (layerwise::index t = 0; t < h[l].rows(); ++t)
      for (layerwise::index j = 0; j < h[l].cols(); ++j) {
        const long double x = h[l](t, j);
        const auto slope = [&](long double step) {
          h[l](t, j) = x + step;
          const long double above = f(h);
          h[l](t, j) = x - step;
          const long double below = f(h);
          h[l](t, j) = x;
          return (above - below) / (2 * step);
        };
        const long double step = 0x1p-13L;
        gradient[l](t, j) = (4 * slope(step) - slope(2 * step)) / 3;
      }
  return gradient;
}

template <class A, class B>
double largest_difference(const A& a, const B& b) {
  double largest = 0;
  for (std::size_t l = 0; l < a.size(); ++l)
    largest = std::max(
        largest, static_cast<double>(
                     (a[l].template cast<long double>() - b[l].template cast<long double>()).cwiseAbs().maxCoeff()));
  return largest;
}

/// The three of them, with the functions above that define them.
struct regularizer_case {
  std::string name;
  std::function<double(const states&, const layerwise::token_mask&, layerwise::reduction)> value;
  std::function<double(const states&, states&, const layerwise::token_mask&, layerwise::reduction)> value_and_gradient;
  std::function<long double(const long_states&)> definition;
};

template <class Regularizer>
regularizer_case make_case(const std::string& name, Regularizer r,
                           const std::function<long double(const long_states&)>& definition) {
  return {name,
          [r](const states& h, const layerwise::token_mask& mask, layerwise::reduction how) mutable {
            r.reduction = how;
            return r.value(h, mask);
          },
          [r](const states& h, states& g, const layerwise::token_mask& mask, layerwise::reduction how) mutable {
            r.reduction = how;
            return r.value_and_gradient(h, g, mask);
          },
          definition};
}

inline std::vector<regularizer_case> all_cases(std::size_t layers) {
  std::vector<regularizer_case> cases;
  cases.push_back(
      make_case("mse", layerwise::mse_regularizer{0.5}, [](const long_states& h) { return 0.5L * steps(h); }));
  cases.push_back(make_case("cosine", layerwise::cosine_regularizer{0.75}, [=](const long_states& h) {
    return 0.75L * turns(h, std::vector<long double>(layers, 1.L));
  }));
  for (const double alpha : {0., 0.5, -1.25, 3.})
    cases.push_back(make_case("jreg", layerwise::jreg_regularizer{2, alpha},
                              [=](const long_states& h) { return 2 * turns(h, softmax_weights(layers, alpha)) / 2; }));
  return cases;
}

}  // namespace layerwise_test
