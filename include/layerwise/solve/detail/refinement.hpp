// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/kernel/double_double.hpp>
#include <layerwise/kernel/indices.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/statistics/cross_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

// A regression whose rounding matters is judged, and improved, by its residual taken from the data in
// double-double.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// A, as it was solved for: for the columns of X that were kept, divided by their norms.
struct scaled_solution {
  index x_dimensions = 0;
  matrix a;              ///< kept columns x d_t
  indices kept;          ///< which columns of X
  Eigen::VectorXd norm;  ///< their norms

  /// A, d_x x d_t, for x * x_scale and t * target_scale; 0 for columns of X that were left out.
  matrix coefficients() const {
    matrix all = matrix::Zero(x_dimensions, a.cols());
    for (index c = 0; c < a.cols(); ++c)
      for (index i = 0; i < a.rows(); ++i) all(kept[i], c) = a(i, c) / norm[i];
    return all;
  }
};

/// Rows of x, and of y or y - x in double-double; power-of-two scales are exact. Where columns are centred these are
/// about the first row, which costs the largest common offset no digits.
class accurate_rows {
 public:
  accurate_rows(const pair_moments& moments, const row_source& data, regression_target what)
      : data_(data), scale_(moments.stats(what).scale), is_update_(what == regression_target::update) {
    if (moments.centering == centering::none || data.size() == 0) return;
    std::vector<double_double> first(static_cast<std::size_t>(moments.y_dimensions()));
    Eigen::VectorXd x(moments.x_dimensions()), y(moments.y_dimensions());
    read(0, x, y, [&](index c, const double_double& t) { first[static_cast<std::size_t>(c)] = t; });
    first_ = std::move(first);
  }

  /// x and y become the row as it is; target(column, value) gets the target's elements.
  template <class Target>
  void read(index i, Eigen::VectorXd& x, Eigen::VectorXd& y, const Target& target) const {
    data_.read(0, i, x.data());
    data_.read(1, i, y.data());
    for (index c = 0; c < y.size(); ++c) {
      double_double t{y[c] * scale_, 0.0};
      if (is_update_) t.add(-x[c] * scale_);
      if (!first_.empty()) {
        const double_double& first = first_[static_cast<std::size_t>(c)];
        t.add({-first.high, -first.low});
      }
      target(c, t);
    }
  }

 private:
  const row_source& data_;
  double scale_;
  bool is_update_;
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
      rows.read(i, x, y,
                [&](index c, const double_double& element) { body(element, mean[static_cast<std::size_t>(c)]); });
  };
  if (m.centering == centering::columns) {
    for_each([](const double_double& element, double_double& sum) {
      sum.add(element);
      sum = sum.normalized();
    });
    for (double_double& each : mean) each = each / static_cast<double>(data.size());
  }
  double_double energy;
  for_each([&](double_double element, const double_double& about) {
    element.add({-about.high, -about.low});
    energy.add(element.value() * element.value());
  });
  return energy.value();
}

/// A solution a of min ||X a - t|| that is improved, and judged, by its residual r = t - X a taken from the
/// data as it came, in double-double: no centring, no scaling and no y - x is rounded. With the triangle R of
/// X from solve_orthogonal and P the projection onto the columns of X,
///     ||P r|| = ||R^-T X^T r||,    f = ||r||^2 - ||P r||^2 (Pythagoras),    a + R^-1 R^-T X^T r is the next
///     a.
/// All but the two sums r and X^T r is double: R need only be right to theta << 1, relative to X in every
/// direction.
class refinement {
 public:
  refinement(const pair_moments& moments, const row_source& data, const scaled_solution& start)
      : moments_(moments),
        data_(data),
        rows_(moments, data, moments.target),
        kept_(start.kept),
        norm_(start.norm),
        targets_((moments_.y_dimensions() + accurate_lanes - 1) / accurate_lanes * accurate_lanes),
        weight_(row_block::Zero(kept_.size(), targets_)),
        weight_low_(weight_) {
    for (index j = 0; j < start.a.rows(); ++j)
      for (index c = 0; c < start.a.cols(); ++c) weight_(j, c) = start.a(j, c) / norm_[j];
    if (moments_.centering == centering::columns) take_means();
  }

  /// X^T r for the scaled columns of X; for the columns of r their energies, and how far rounding moved their
  /// norms.
  struct residual {
    matrix gradient;
    Eigen::VectorXd energy, rounding;
  };
  residual measure() const {
    const index n = data_.size();
    const std::vector<double_double> bias = take_bias();
    const std::vector<double_double> zeros(static_cast<std::size_t>(targets_));
    sums total{row_block::Zero(kept_.size(), targets_), row_block::Zero(kept_.size(), targets_), zeros, zeros};
    for (index done = 0; done < n; done += block_rows)
      add(residual_of(done, (std::min)(block_rows, n - done), bias), total);

    const index width = moments_.y_dimensions();
    residual out{matrix(kept_.size(), width), Eigen::VectorXd(width), Eigen::VectorXd::Zero(width)};
    for (index c = 0; c < width; ++c) out.energy[c] = total.energy[static_cast<std::size_t>(c)].value();
    for (index j = 0; j < kept_.size(); ++j) {
      const double mean = moments_.x_mean[kept_[j]] * moments_.x.scale;
      const double raw_norm = std::sqrt(norm_[j] * norm_[j] + static_cast<double>(n) * mean * mean);
      for (index c = 0; c < width; ++c) {
        double_double g{total.gradient(j, c), total.gradient_low(j, c)};
        // x was not centred: what is left of the mean of r, 1e-32 of the offsets, counts times the offset of
        // x.
        if (moments_.centering == centering::columns)
          g.add_product(-x_mean_[static_cast<std::size_t>(j)].high,
                        total.residual[static_cast<std::size_t>(c)].value());
        out.gradient(j, c) = g.value() / norm_[j];
        out.rounding[c] += raw_norm * std::abs(weight_(j, c));
      }
    }
    // Of a sum of k terms in double-double, whose low parts are summed plainly, k^2 u^2 is lost at most.
    const double terms = static_cast<double>(kept_.size()) + 8.0;
    const Eigen::VectorXd& noise = moments_.target_stats().noise;
    for (index c = 0; c < width; ++c) {
      const double mean = t_mean_.empty() ? 0.0 : t_mean_[static_cast<std::size_t>(c)].value();
      const double target_norm = std::sqrt(noise[c] + static_cast<double>(n) * mean * mean);
      out.rounding[c] = 0x1p-106 * terms * terms * (out.rounding[c] + target_norm);
    }
    return out;
  }

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

  /// a, rounded
  matrix solution() const {
    matrix a(kept_.size(), moments_.y_dimensions());
    for (index c = 0; c < a.cols(); ++c)
      for (index j = 0; j < a.rows(); ++j) a(j, c) = norm_[j] * weight_(j, c);
    return a;
  }

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

  residual_block residual_of(index first, index count, const std::vector<double_double>& bias) const {
    residual_block out{row_block(count, kept_.size()), row_block::Zero(count, targets_),
                       row_block::Zero(count, targets_)};
    row_block &x = out.x, &r = out.r, &r_low = out.r_low;
    parallel_chunks(count, 16, [&](index chunk, index length) {
      Eigen::VectorXd minus_x(kept_.size());
      for (index i = chunk; i < chunk + length; ++i) {
        read(first + i, &x(i, 0), [&](index c, double_double t) {
          t.add(bias[static_cast<std::size_t>(c)]);
          t = t.normalized();
          r(i, c) = t.high, r_low(i, c) = t.low;
        });
        for (index j = 0; j < kept_.size(); ++j) minus_x[j] = -x(i, j);
        for (index c = 0; c < targets_; c += accurate_lanes)
          add_products_accurately(kept_.size(), minus_x.data(), 1, &weight_(0, c), &weight_low_(0, c), targets_,
                                  &r(i, c), &r_low(i, c));
        for (index c = 0; c < targets_; ++c) {  // after the cancellation, low is anything but low
          const double_double element = double_double{r(i, c), r_low(i, c)}.normalized();
          r(i, c) = element.high, r_low(i, c) = element.low;
        }
      }
    });
    return out;
  }

  void add(const residual_block& block, sums& total) const {
    const row_block &x = block.x, &r = block.r, &r_low = block.r_low;
    parallel_chunks(targets_, accurate_lanes, [&](index c, index) {
      for (index j = 0; j < kept_.size(); ++j)
        add_products_accurately(x.rows(), &x(0, j), kept_.size(), &r(0, c), &r_low(0, c), targets_,
                                &total.gradient(j, c), &total.gradient_low(j, c));
      for (index k = c; k < c + accurate_lanes; ++k)
        for (index i = 0; i < x.rows(); ++i) {
          const double_double element{r(i, k), r_low(i, k)};
          total.residual[static_cast<std::size_t>(k)].add(element);
          total.energy[static_cast<std::size_t>(k)].add(element.value() * element.value());
        }
    });
  }

  /// Row i of the kept columns of X, and target(column, value) for the columns of t.
  template <class Target>
  void read(index i, double* x, const Target& target) const {
    Eigen::VectorXd in(moments_.x_dimensions()), out(moments_.y_dimensions());
    rows_.read(i, in, out, target);
    for (index j = 0; j < kept_.size(); ++j) x[j] = in[kept_[j]] * moments_.x.scale;
  }

  static void add_to(double_double& sum, const double_double& element) {
    sum.add(element);
    sum = sum.normalized();
  }

  void take_means() {
    x_mean_.resize(static_cast<std::size_t>(kept_.size()));
    t_mean_.resize(static_cast<std::size_t>(moments_.y_dimensions()));
    Eigen::VectorXd x(kept_.size());
    for (index i = 0; i < data_.size(); ++i) {
      read(i, x.data(), [&](index c, const double_double& t) { add_to(t_mean_[static_cast<std::size_t>(c)], t); });
      for (index j = 0; j < x.size(); ++j) add_to(x_mean_[static_cast<std::size_t>(j)], {x[j], 0.0});
    }
    const double n = static_cast<double>(data_.size());
    for (auto* means : {&x_mean_, &t_mean_})
      for (double_double& mean : *means) mean = mean / n;
  }

  /// mean x * a - mean t: what makes the residual's mean 0.
  std::vector<double_double> take_bias() const {
    std::vector<double_double> bias(static_cast<std::size_t>(moments_.y_dimensions()));
    if (moments_.centering == centering::none) return bias;
    for (index c = 0; c < moments_.y_dimensions(); ++c) {
      double_double& b = bias[static_cast<std::size_t>(c)];
      for (index j = 0; j < kept_.size(); ++j) {
        const double_double& mean = x_mean_[static_cast<std::size_t>(j)];
        b.add_product(mean.high, weight_(j, c));
        b.low += mean.low * weight_(j, c) + mean.high * weight_low_(j, c);
      }
      const double_double& t = t_mean_[static_cast<std::size_t>(c)];
      b.add({-t.high, -t.low});
      b = b.normalized();
    }
    return bias;
  }

  const pair_moments& moments_;
  const row_source& data_;
  const accurate_rows rows_;
  const indices kept_;
  const Eigen::VectorXd norm_;
  const index targets_;            // columns of t, filled up to whole lanes
  row_block weight_, weight_low_;  // a in the units of the data, kept columns x targets
  std::vector<double_double> x_mean_, t_mean_;
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
