// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/kernel/double_double.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>

#include <Eigen/Core>

#include <cstddef>
#include <utility>
#include <vector>

// The rows of a target as they come from the data: nothing of them is rounded.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// The elements of y, or of y - x, times a power of two.
struct target_elements {
  regression_target what;
  double scale;

  double_double operator()(const Eigen::VectorXd& x, const Eigen::VectorXd& y, index c) const {
    double_double t{y[c] * scale, 0.0};
    if (what == regression_target::update) t.add(-x[c] * scale);
    return t;
  }
};

/// Adds to a sum whose low part stays low.
inline void accumulate(double_double& sum, const double_double& element) {
  sum.add(element);
  sum = sum.normalized();
}

/// Rows of x, and of a target in its own units. Where columns are centred these are about the first row, which costs
/// the largest common offset no digits.
class accurate_rows {
 public:
  accurate_rows(const pair_moments& moments, const row_source& data, regression_target what)
      : data_(data), element_{what, moments.stats(what).scale} {
    if (moments.centering == centering::none || data.size() == 0) return;
    std::vector<double_double> first(static_cast<std::size_t>(moments.y_dimensions()));
    Eigen::VectorXd x(moments.x_dimensions()), y(moments.y_dimensions());
    read(0, x, y, [&](index c, const double_double& t) { at(first, c) = t; });
    first_ = std::move(first);
  }

  /// x and y become the row as it is; target(column, value) gets the target's elements.
  template <class Target>
  void read(index i, Eigen::VectorXd& x, Eigen::VectorXd& y, const Target& target) const {
    data_.read(0, i, x.data());
    data_.read(1, i, y.data());
    for (index c = 0; c < y.size(); ++c) {
      double_double t = element_(x, y, c);
      if (!first_.empty()) t.add(-at(first_, c));
      target(c, t);
    }
  }

 private:
  const row_source& data_;
  target_elements element_;
  std::vector<double_double> first_;
};

/// The energy of y, or of y - x, taken from the data in double-double: no mean, no difference and no sum is rounded.
/// In its own units, right to a few units in the last place.
inline double accurate_energy(const pair_moments& m, const row_source& data, regression_target what) {
  const accurate_rows rows(m, data, what);
  std::vector<double_double> mean(static_cast<std::size_t>(m.y_dimensions()));
  const auto for_each = [&](const auto& body) {
    Eigen::VectorXd x(m.x_dimensions()), y(m.y_dimensions());
    for (index i = 0; i < data.size(); ++i)
      rows.read(i, x, y, [&](index c, const double_double& element) { body(element, at(mean, c)); });
  };
  if (m.centering == centering::columns) {
    for_each([](const double_double& element, double_double& sum) { accumulate(sum, element); });
    for (double_double& each : mean) each = each / static_cast<double>(data.size());
  }
  double_double energy;
  for_each([&](double_double element, const double_double& about) {
    element.add(-about);
    energy.add(element.value() * element.value());
  });
  return energy.value();
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
