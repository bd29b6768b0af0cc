// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/kernel/double_double.hpp>
#include <layerwise/kernel/indices.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/solve/detail/regression.hpp>
#include <layerwise/solve/detail/residual.hpp>
#include <layerwise/solve/detail/target_rows.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/detail/columns.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

// A regression whose rounding matters is judged, and improved, by its residual taken from the data in
// double-double.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// The solution of a regression in double-double, for the columns of X that were kept, in the units of the data.
class accurate_map {
 public:
  explicit accurate_map(const scaled_solution& start)
      : norm_(start.norm),
        columns_(start.a.cols()),
        weight_(row_block::Zero(start.a.rows(), (columns_ + accurate_lanes - 1) / accurate_lanes * accurate_lanes)),
        weight_low_(weight_) {
    for (index j = 0; j < start.a.rows(); ++j)
      for (index c = 0; c < columns_; ++c) weight_(j, c) = start.a(j, c) / norm_[j];
  }

  /// Columns of t, filled up to whole lanes.
  index targets() const { return weight_.cols(); }
  /// An element, rounded.
  double operator()(index j, index c) const { return weight_(j, c); }

  /// a += step
  void improve(const matrix& step) {
    for (index j = 0; j < step.rows(); ++j)
      for (index c = 0; c < step.cols(); ++c) {
        double_double w{weight_(j, c), weight_low_(j, c)};
        w.add(step(j, c) / norm_[j]);
        w = w.normalized();
        weight_(j, c) = w.high, weight_low_(j, c) = w.low;
      }
  }

  /// a, rounded, for columns of X divided by their norms.
  matrix solution() const {
    matrix a(weight_.rows(), columns_);
    for (index c = 0; c < a.cols(); ++c)
      for (index j = 0; j < a.rows(); ++j) a(j, c) = norm_[j] * weight_(j, c);
    return a;
  }

  /// mean x * a - mean t: what makes the residual's mean 0.
  std::vector<double_double> bias(const std::vector<double_double>& x_mean,
                                  const std::vector<double_double>& t_mean) const {
    std::vector<double_double> bias(static_cast<std::size_t>(columns_));
    for (index c = 0; c < columns_; ++c) {
      double_double& b = at(bias, c);
      for (index j = 0; j < weight_.rows(); ++j) {
        const double_double& mean = at(x_mean, j);
        b.add_product(mean.high, weight_(j, c));
        b.low += mean.low * weight_(j, c) + mean.high * weight_low_(j, c);
      }
      b.add(-at(t_mean, c));
      b = b.normalized();
    }
    return bias;
  }

  /// (high, low) += x * a, in the columns c ... c + accurate_lanes - 1 that they begin with.
  void add_image(const double* x, index c, double* high, double* low) const {
    add_products_accurately(weight_.rows(), x, 1, {&weight_(0, c), &weight_low_(0, c), targets()}, high, low);
  }

 private:
  Eigen::VectorXd norm_;
  index columns_;
  row_block weight_, weight_low_;
};

/// A solution a of min ||X a - t|| that is improved, and judged, by its residual r = t - X a taken from the data
/// as it came, in double-double: no centring, no scaling and no y - x is rounded. All but the two sums r and X^T r
/// is double: the triangle R of X need only be right to theta << 1, relative to X in every direction.
class refinement {
 public:
  refinement(const pair_moments& moments, const row_source& data, const scaled_solution& start)
      : moments_(moments),
        data_(data),
        rows_(moments, data, moments.target),
        kept_(start.kept),
        norm_(start.norm),
        map_(start),
        x_mean_(static_cast<std::size_t>(kept_.size())),
        t_mean_(static_cast<std::size_t>(moments.y_dimensions())) {
    if (moments_.centering == centering::columns) take_means();
  }

  /// What the residual says of a, before the step, and how far rounding moved it.
  struct improvement {
    residual_projection found;
    refinement_rounding rounding;
  };
  /// a becomes the next a, by R^T of the scaled columns.
  improvement improve(const matrix& factor) {
    const sums total = sum_residual();
    Eigen::VectorXd energy(moments_.y_dimensions());
    for (index c = 0; c < energy.size(); ++c) energy[c] = at(total.energy, c).value();
    refinement_rounding rounding = rounding_of(energy);
    improvement out{residual_projection(factor, std::move(energy), gradient_of(total)), std::move(rounding)};
    map_.improve(out.found.step);
    return out;
  }

  const accurate_map& map() const { return map_; }

 private:
  /// Some rows of X, as they came, and of r.
  struct residual_block {
    row_block x, r, r_low;
  };
  /// X^T r of rows that were not centred, the energies of the columns of r, and their sums.
  struct sums {
    row_block gradient, gradient_low;
    std::vector<double_double> energy, residual;
  };

  sums sum_residual() const {
    const index n = data_.size();
    const std::vector<double_double> bias = map_.bias(x_mean_, t_mean_);
    const row_block none = row_block::Zero(kept_.size(), map_.targets());
    const std::vector<double_double> zeros(static_cast<std::size_t>(map_.targets()));
    sums total{none, none, zeros, zeros};
    for (index done = 0; done < n; done += block_rows)
      add(residual_of(done, (std::min)(block_rows, n - done), bias), total);
    return total;
  }

  residual_block residual_of(index first, index count, const std::vector<double_double>& bias) const {
    const index targets = map_.targets();
    residual_block out{row_block(count, kept_.size()), row_block::Zero(count, targets),
                       row_block::Zero(count, targets)};
    row_block &x = out.x, &r = out.r, &r_low = out.r_low;
    parallel_chunks(count, 16, [&](index chunk, index length) {
      Eigen::VectorXd minus_x(kept_.size());
      for (index i = chunk; i < chunk + length; ++i) {
        read(first + i, &x(i, 0), [&](index c, double_double t) {
          t.add(at(bias, c));
          t = t.normalized();
          r(i, c) = t.high, r_low(i, c) = t.low;
        });
        for (index j = 0; j < kept_.size(); ++j) minus_x[j] = -x(i, j);
        for (index c = 0; c < targets; c += accurate_lanes) map_.add_image(minus_x.data(), c, &r(i, c), &r_low(i, c));
        for (index c = 0; c < targets; ++c) {  // after the cancellation, low is anything but low
          const double_double element = double_double{r(i, c), r_low(i, c)}.normalized();
          r(i, c) = element.high, r_low(i, c) = element.low;
        }
      }
    });
    return out;
  }

  void add(const residual_block& block, sums& total) const {
    const row_block &x = block.x, &r = block.r, &r_low = block.r_low;
    parallel_chunks(r.cols(), accurate_lanes, [&](index c, index) {
      for (index j = 0; j < kept_.size(); ++j)
        add_products_accurately(x.rows(), &x(0, j), kept_.size(), {&r(0, c), &r_low(0, c), r.cols()},
                                &total.gradient(j, c), &total.gradient_low(j, c));
      for (index k = c; k < c + accurate_lanes; ++k)
        for (index i = 0; i < x.rows(); ++i) {
          const double_double element{r(i, k), r_low(i, k)};
          at(total.residual, k).add(element);
          at(total.energy, k).add(element.value() * element.value());
        }
    });
  }

  /// X^T r for the scaled columns of X.
  matrix gradient_of(const sums& total) const {
    matrix gradient(kept_.size(), moments_.y_dimensions());
    for (index j = 0; j < gradient.rows(); ++j)
      for (index c = 0; c < gradient.cols(); ++c) {
        double_double g{total.gradient(j, c), total.gradient_low(j, c)};
        // x was not centred: what is left of the mean of r, 1e-32 of the offsets, counts times the offset of x, of which
        // an ulp may be all that the column has.
        if (moments_.centering == centering::columns) {
          const double_double mean = at(x_mean_, j), sum = at(total.residual, c).normalized();
          g.add_product(-mean.high, sum.high);
          g.low -= mean.high * sum.low + mean.low * sum.high;
        }
        gradient(j, c) = g.value() / norm_[j];
      }
    return gradient;
  }

  /// Of a sum of k terms in double-double, whose low parts are summed plainly, k^2 u^2 is lost at most: k is d for an
  /// element of r, whose columns have these energies, and n for one of X^T r.
  refinement_rounding rounding_of(const Eigen::VectorXd& energy) const {
    const double n = static_cast<double>(data_.size()), terms = static_cast<double>(kept_.size()) + 8.0;
    refinement_rounding rounding{Eigen::VectorXd::Zero(energy.size()), Eigen::VectorXd(energy.size())};
    double offset = 0.0;  // the squared norms of the columns of X as they came, over those about the mean
    for (index j = 0; j < kept_.size(); ++j) {
      const double mean = moments_.x_mean[kept_[j]] * moments_.x.scale;
      const double raw_norm = std::sqrt(norm_[j] * norm_[j] + n * mean * mean);
      for (index c = 0; c < energy.size(); ++c) rounding.residual[c] += raw_norm * std::abs(map_(j, c));
      offset += raw_norm / norm_[j] * (raw_norm / norm_[j]);
    }
    for (index c = 0; c < energy.size(); ++c) {
      const double mean = at(t_mean_, c).value();
      const double target_norm = std::sqrt(moments_.target_stats().noise[c] + n * mean * mean);
      rounding.residual[c] = 0x1p-106 * terms * terms * (rounding.residual[c] + target_norm);
      rounding.gradient[c] = 0x1p-106 * (n + 8.0) * (n + 8.0) * std::sqrt(offset * energy[c]);
    }
    return rounding;
  }

  /// Row i of the kept columns of X, and target(column, value) for the columns of t.
  template <class Target>
  void read(index i, double* x, const Target& target) const {
    Eigen::VectorXd in(moments_.x_dimensions()), out(moments_.y_dimensions());
    rows_.read(i, in, out, target);
    for (index j = 0; j < kept_.size(); ++j) x[j] = in[kept_[j]] * moments_.x.scale;
  }

  void take_means() {
    Eigen::VectorXd x(kept_.size());
    for (index i = 0; i < data_.size(); ++i) {
      read(i, x.data(), [&](index c, const double_double& t) { accumulate(at(t_mean_, c), t); });
      for (index j = 0; j < x.size(); ++j) accumulate(at(x_mean_, j), {x[j], 0.0});
    }
    const double n = static_cast<double>(data_.size());
    for (auto* means : {&x_mean_, &t_mean_})
      for (double_double& mean : *means) mean = mean / n;
  }

  const pair_moments& moments_;
  const row_source& data_;
  const accurate_rows rows_;
  const indices kept_;
  const Eigen::VectorXd norm_;
  accurate_map map_;
  std::vector<double_double> x_mean_, t_mean_;  // 0 without centring
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
