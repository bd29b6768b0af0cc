// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/kernel/cholesky.hpp>
#include <layerwise/kernel/double_double.hpp>
#include <layerwise/kernel/indices.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/solve/detail/regression.hpp>
#include <layerwise/solve/detail/target_rows.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <utility>

namespace layerwise::inline LAYERWISE_ABI::detail {

/// The scaled problem: the columns of X with any variance, its live ones, divided by their norms. The moments must live
/// on.
class scaled_problem {
 public:
  explicit scaled_problem(const pair_moments& moments) : moments_(moments) {
    const Eigen::VectorXd& energy = moments_.x.energy;
    const auto is_live = [](double e) { return e > least_energy; };
    live_.resize(std::count_if(energy.begin(), energy.end(), is_live));
    for (index j = 0, found = 0; j < energy.size(); ++j)
      if (is_live(energy[j])) live_[found++] = j;
    for (const double e : energy)
      if (!is_live(e)) constant_energy_ += e;
    norm_ = select(energy, live_).cwiseSqrt();
    cancellation_.resize(size());
    for (index i = 0; i < size(); ++i)
      cancellation_[i] = (std::max)(1.0, std::sqrt(moments_.x.noise[live_[i]]) / norm_[i]);
  }

  const pair_moments& moments() const { return moments_; }
  index size() const { return live_.size(); }
  const indices& live() const { return live_; }  // ascending
  const Eigen::VectorXd& norm() const { return norm_; }

  /// The places of these columns of X among the live ones.
  indices places_of(const indices& columns) const {
    indices places(columns.size());
    for (index k = 0; k < columns.size(); ++k)
      places[k] = std::lower_bound(live_.begin(), live_.end(), columns[k]) - live_.begin();
    return places;
  }

  /// G with unit diagonal; its lower triangle.
  matrix gram() const {
    const Eigen::VectorXd inverse = norm_.cwiseInverse();
    matrix g(size(), size());
    for_columns(g, [&](index j) {
      const auto column = moments_.second.col(live_[j]);
      g(j, j) = 1.0;
      for (index i = j + 1; i < size(); ++i) g(i, j) = column[live_[i]] * inverse[i] * inverse[j];
    });
    return g;
  }

  /// X^T T for the live columns, rows scaled.
  matrix right_side() const {
    const Eigen::VectorXd inverse = norm_.cwiseInverse();
    matrix b(size(), moments_.y_dimensions());
    for_columns(b, [&](index c) {
      const auto column = moments_.cross.col(c);
      for (index i = 0; i < size(); ++i) b(i, c) = column[live_[i]] * inverse[i];
    });
    return b;
  }

  /// p: norms of columns as they were summed over their norms about the mean, 1 at least.
  Eigen::VectorXd cancellation(const indices& kept) const { return select(cancellation_, kept); }
  /// Norms of columns of X.
  Eigen::VectorXd norms(const indices& of) const { return select(norm_, of); }
  /// The norm of the columns of X that count as constant, though some energy is known of them.
  double norm_of_constant() const { return std::sqrt(constant_energy_); }
  /// A norm of X, in the units of the target.
  double in_units_of_target(double norm) const { return norm * (moments_.target_stats().scale / moments_.x.scale); }

  /// The solution `a` in the coordinates `kept`, as one for all columns of X, in the units of the moments.
  scaled_solution solution(matrix a, const indices& kept) const {
    return {moments_.x_dimensions(), std::move(a), select(live_, kept), select(norm_, kept)};
  }

 private:
  const pair_moments& moments_;
  indices live_;
  Eigen::VectorXd norm_, cancellation_;
  double constant_energy_ = 0.0;
};

/// Reads rows first.. of the scaled problem into all of x (its live columns) and t, about their means.
inline void read_scaled(const scaled_problem& problem, const row_source& data, index first, Eigen::Ref<matrix> x,
                        Eigen::Ref<matrix> t) {
  const pair_moments& m = problem.moments();
  const column_stats& target = m.target_stats();
  const target_elements element{m.target, target.scale};
  parallel_chunks(x.rows(), 64, [&](index chunk, index count) {
    Eigen::VectorXd in(m.x_dimensions()), out(m.y_dimensions());
    for (index i = chunk; i < chunk + count; ++i) {
      data.read(0, first + i, in.data());
      data.read(1, first + i, out.data());
      for (index c = 0; c < out.size(); ++c) {
        const double_double value = element(in, out, c);
        t(i, c) = (value.high - target.shift[c]) - target.drift[c] + value.low;
      }
      for (index j = 0; j < problem.size(); ++j) {
        const index k = problem.live()[j];
        x(i, j) = (in[k] * m.x.scale - m.x.shift[k] - m.x.drift[k]) / problem.norm()[j];
      }
    }
  });
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
