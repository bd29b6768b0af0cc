// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/kernel/double_double.hpp>
#include <layerwise/kernel/indices.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/solve/detail/certificate.hpp>
#include <layerwise/solve/detail/refinement.hpp>
#include <layerwise/solve/detail/regression.hpp>
#include <layerwise/solve/detail/scaled_problem.hpp>
#include <layerwise/solve/detail/target_rows.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>
#include <layerwise/training/detail/gradient_solution.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace layerwise::inline LAYERWISE_ABI::detail {

/// The regression once more where double is not enough: its solution, residual and energies in double-double,
/// from the data as it came, rounded at the end.
///
/// Its means, residual and energy are those of refinement and of accurate_energy() in another rounding: about 0, not
/// about the first row; means not normalized at each step; energies in double. To share their code would change bits.
class accurate_regression {
 public:
  accurate_regression(const scaled_problem& problem, const row_source& data, const regression& fit,
                      regression_target what)
      : m_(problem.moments()),
        data_(data),
        kept_(fit.solution.kept),
        norm_(fit.solution.norm),
        target_{m_.target, m_.target_stats().scale},
        goal_{what, m_.target_stats().scale},
        map_(fit.solution) {
    x_mean_ = means(kept_.size(), [&](const auto& x, const auto&, index k) { return x_element(x, k); });
    target_mean_ = means(m_.y_dimensions(), target_);
    goal_mean_ = means(m_.y_dimensions(), goal_);
    energy_ = take_energy();
    solve(problem, fit);
    bias_ = map_.bias(x_mean_, target_mean_);
  }

  /// In units of the target.
  double residual_energy() const { return residual_energy_; }
  double energy() const { return energy_; }

  /// A for the columns of X that were kept, divided by their norms.
  matrix solution() const { return map_.solution(); }

  /// Rows first.. of Y or of the update, whose score it is, about its mean, and of the residual.
  void read(index first, matrix& goal, matrix& residual) const {
    parallel_chunks(residual.rows(), 16, [&](index chunk, index count) {
      Eigen::VectorXd in(m_.x_dimensions()), out(m_.y_dimensions());
      row_block minus_x(count, kept_.size()), r(count, map_.targets()), r_low = row_block::Zero(count, map_.targets());
      for (index i = 0; i < count; ++i) {
        read_raw(first + chunk + i, in, out);
        for (index k = 0; k < kept_.size(); ++k) minus_x(i, k) = -x_element(in, k).high;
        for (index c = 0; c < out.size(); ++c) {
          goal(chunk + i, c) = about(goal_(in, out, c), at(goal_mean_, c)).value();
          double_double t = target_(in, out, c);
          t.add(at(bias_, c));
          t = t.normalized();
          r(i, c) = t.high, r_low(i, c) = t.low;
        }
        for (index c = out.size(); c < r.cols(); ++c) r(i, c) = 0.0;
      }
      for (index c = 0; c < r.cols(); c += accurate_lanes)  // these columns of A serve all rows from the cache
        for (index i = 0; i < count; ++i) map_.add_image(&minus_x(i, 0), c, &r(i, c), &r_low(i, c));
      residual.middleRows(chunk, count) = (r + r_low).leftCols(out.size());
    });
  }

 private:
  void read_raw(index i, Eigen::VectorXd& x, Eigen::VectorXd& y) const {
    data_.read(0, i, x.data());
    data_.read(1, i, y.data());
  }

  /// Of column k of those that were kept.
  double_double x_element(const Eigen::VectorXd& x, index k) const { return {x[kept_[k]] * m_.x.scale, 0.0}; }

  static double_double about(double_double value, const double_double& mean) {
    value.add(-mean);
    return value;
  }

  /// The means of value(x, y, c), or 0.
  template <class Value>
  std::vector<double_double> means(index columns, const Value& value) const {
    std::vector<double_double> sums(static_cast<std::size_t>(columns));
    if (m_.centering == centering::none) return sums;
    const index n = data_.size();
    Eigen::VectorXd x(m_.x_dimensions()), y(m_.y_dimensions());
    for (index i = 0; i < n; ++i) {
      read_raw(i, x, y);
      for (index c = 0; c < columns; ++c) at(sums, c).add(value(x, y, c));
    }
    for (double_double& sum : sums) sum = sum.normalized() / static_cast<double>(n);
    return sums;
  }

  double take_energy() const {
    Eigen::VectorXd x(m_.x_dimensions()), y(m_.y_dimensions()), row(m_.y_dimensions());
    double energy = 0.0;
    for (index i = 0; i < data_.size(); ++i) {
      read_raw(i, x, y);
      for (index c = 0; c < row.size(); ++c) row[c] = about(goal_(x, y, c), at(goal_mean_, c)).value();
      energy += squared_norm(row.data(), row.size());
    }
    return energy;
  }

  /// Steps by the factor of X and the residual in double-double (solve/detail/refinement.hpp), until what is left,
  /// theta times the last one, is nothing to the gradient.
  void solve(const scaled_problem& problem, const regression& fit) {
    Eigen::VectorXd in(m_.x_dimensions()), out(m_.y_dimensions());
    const matrix factor = factor_of_rows(data_.size(), kept_.size(), [&](index first, Eigen::Ref<matrix> rows) {
      for (index i = 0; i < rows.rows(); ++i) {
        read_raw(first + i, in, out);
        for (index k = 0; k < kept_.size(); ++k)
          rows(i, k) = about(x_element(in, k), at(x_mean_, k)).value() / norm_[k];
      }
    });
    const double theta = theta_of_factorization_by_condition(
        rounding_of_factorization(problem), problem.cancellation(problem.places_of(kept_)), fit.condition);
    constexpr double negligible = 1e-12;
    refinement refined(m_, data_, fit.solution);
    for (int step = 0; step < 6; ++step) {
      const residual_projection found = refined.improve(factor).found;
      residual_energy_ = found.left();
      if (theta * found.projected.sum() <= negligible * (std::min)(1.0, negligible / theta) * residual_energy_ &&
          theta * std::sqrt(column_energies(found.step).sum()) <=
              negligible * std::sqrt(column_energies(refined.map().solution()).sum()))
        break;
    }
    map_ = refined.map();
  }

  const pair_moments& m_;
  const row_source& data_;
  const indices kept_;
  const Eigen::VectorXd norm_;
  const target_elements target_, goal_;
  accurate_map map_;
  std::vector<double_double> bias_, x_mean_, target_mean_, goal_mean_;
  double residual_energy_ = 0.0, energy_ = 0.0;
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
