// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_writer.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/kernel/double_double.hpp>
#include <layerwise/kernel/indices.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/product.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/metrics/linearity.hpp>
#include <layerwise/solve/detail/refinement.hpp>
#include <layerwise/solve/detail/regression.hpp>
#include <layerwise/statistics/cross_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/// @file
/// The linearity score as something to train with: its gradients with respect to both layers, from the
/// solution of the least-squares problem itself.
//
// With X, Y centred, A the solution, R = Y - X A its residual, f = ||R||^2 and s = 1 - f/E: A minimizes f, so
// its own change does not count (the envelope theorem), and
//     df/dX = -2 R A^T,   df/dY = 2 R.
// R is orthogonal to the ones, so centring changes nothing in either. For E = ||Y||^2, and for E = ||D||^2
// with the update D = Y - X,
//     ds/dX = 2/E R A^T,                 ds/dY = 2/E ((1 - s) Y - R),
//     ds/dX = 2/E (R A^T - (1 - s) D),   ds/dY = 2/E ((1 - s) D - R).
// This holds wherever the rank of X does not change: for independent columns.
namespace layerwise::inline LAYERWISE_ABI {

/// What a gradient is added to: a writable embedding matrix, or nullptr where it is not asked for (to stop
/// the gradient on one side).
template <class G>
concept gradient_or_none =
    std::same_as<std::remove_cvref_t<G>, std::nullptr_t> || writable_embedding_matrix<std::remove_reference_t<G>>;

namespace detail {

/// Adds values, which are readable up to the end of their last lane block, to the gradient's row `token`.
/// Empty: not asked for.
using add_gradient_row = std::function<void(index token, const double* values)>;

inline add_gradient_row open_gradient(const shape&, std::nullptr_t, std::string_view) { return {}; }
template <writable_embedding_matrix G>
add_gradient_row open_gradient(const shape& expected, G& gradient, std::string_view name) {
  const auto view = view_of(gradient);
  require_equal_shape(expected, shape_of(row_reader(view)), {.operand = name});
  return [view](index token, const double* values) {
    add_to_row(view, token, token, [values](const auto& at) { return at(values); });
  };
}

/// The error of a gradient, relative to its norm, that is promised.
inline double gradient_tolerance(double condition) { return (std::max)(1e-10, 1e-15 * condition); }

/// The places of the columns that were kept among the live ones.
inline indices places_of(const scaled_problem& problem, const indices& kept) {
  const indices& live = problem.live();  // ascending
  indices places(kept.size());
  for (index k = 0; k < kept.size(); ++k)
    places[k] = std::lower_bound(live.begin(), live.end(), kept[k]) - live.begin();
  return places;
}

/// The triangle R of some columns of n rows, transposed; fill(first, rows) writes rows first..
template <class Fill>
matrix factor_of_rows(index n, index columns, const Fill& fill) {
  const index rows_at_once = (std::max)(block_rows, columns);
  block_qr qr(columns, 0);
  for (index done = 0; done < n; done += rows_at_once)
    qr.add((std::min)(rows_at_once, n - done), [&](Eigen::Ref<matrix> rows, auto) { fill(done, rows); });
  return qr.triangle().leftCols(columns).transpose();
}

/// Makes a solution that is good for the score good for the gradient: the score's error is quadratic in that
/// of A, the gradient's linear. It is corrected until X explains no more of the residual than rounding, and
/// the residual energy is taken from the data where the moments' is not good enough. False where the solution
/// may still be off by more than the tolerance.
inline bool polish(const scaled_problem& problem, const row_source& data, double energy, double tolerance,
                   regression& fit) {
  if (fit.rank < problem.size() || fit.method == solver::rank_revealing) return false;
  const indices all = first_indices(problem.size()), places = places_of(problem, fit.solution.kept);
  matrix a(problem.size(), fit.solution.a.cols()), factor;
  for (index k = 0; k < a.rows(); ++k) a.row(places[k]) = fit.solution.a.row(k);
  fit.solution = problem.solution(std::move(a), all);
  if (fit.method == solver::cholesky) {
    // By certificate 1 of least_squares.hpp the energy of X (a~ - a*) is about theta times its bound.
    const double theta = 2.0 * problem.inflation(all).squaredNorm() * problem.gamma() * fit.condition * fit.condition;
    if (theta * fit.residual_error <= tolerance * tolerance * fit.residual_energy &&
        fit.residual_error <= tolerance * std::sqrt(fit.residual_energy * energy))
      return true;
    matrix nothing(problem.size(), 0);
    factor = problem.gram();
    if (!cholesky_in_place(factor, nothing)) return false;
  } else {
    matrix target;
    factor = factor_of_rows(data.size(), problem.size(), [&](index first, Eigen::Ref<matrix> rows) {
      target.resize(rows.rows(), problem.moments().y_dimensions());
      read_scaled(problem, data, first, rows, target);
    });
  }
  for (int step = 0; step < 4; ++step) {
    const residual_projection found = project_residual(problem, factor, data, fit.solution.a);
    fit.solution.a += found.step;
    fit.residual_energy = energy_left(found.energy, found.projected);
    // A measurement, with its own rounding, of what the step before has left.
    if (found.projected.sum() <= tolerance * tolerance * found.energy.sum() &&
        found.step.norm() <= tolerance * fit.solution.a.norm())
      return true;
  }
  return false;
}

/// Whether double is good enough for the rows of the residual, of energy fit.residual_energy, and for the
/// energy that the score is relative to. Roundings are taken as independent, as in least_squares.hpp, and the
/// terms of a sum over d as either of one sign, and then below the sum, or of independent signs.
inline bool is_plain(const scaled_problem& problem, const regression& fit, regression_target what, double energy,
                     double tolerance) {
  const pair_moments& m = problem.moments();
  const matrix& a = fit.solution.a;
  const Eigen::VectorXd p = problem.inflation(places_of(problem, fit.solution.kept));
  const double f = fit.residual_energy;
  const double terms = std::sqrt(column_energies(p.asDiagonal() * a).sum()) + std::sqrt(m.target_stats().noise.sum());
  const double rounding = unit_roundoff * (2.0 * std::sqrt(static_cast<double>(problem.size())) + 10.0) * terms;
  const double of_energy = m.total(what).relative_error;
  if (!(rounding <= tolerance * std::sqrt(f) && of_energy <= tolerance)) return false;
  if ((m.target == regression_target::update) != (what == regression_target::output)) return true;
  // Y - X + X, or Y - X, is rounded; the gradient sees f / energy of it.
  const double x = std::ldexp(problem.norm().norm(), std::ilogb(m.target_stats().scale) - std::ilogb(m.x.scale));
  return unit_roundoff * x * std::sqrt(f) <= tolerance * energy;
}

/// The regression once more where double is not enough: its solution, residual and energies in double-double,
/// from the data as it came, rounded at the end.
class accurate_regression {
 public:
  accurate_regression(const scaled_problem& problem, const row_source& data, const regression& fit,
                      regression_target what)
      : problem_(problem),
        m_(problem.moments()),
        data_(data),
        what_(what),
        kept_(fit.solution.kept),
        norm_(fit.solution.norm),
        targets_((m_.y_dimensions() + accurate_lanes - 1) / accurate_lanes * accurate_lanes),
        weight_(row_block::Zero(kept_.size(), targets_)),
        weight_low_(weight_),
        bias_(static_cast<std::size_t>(m_.y_dimensions())) {
    for (index c = 0; c < m_.y_dimensions(); ++c)
      for (index k = 0; k < kept_.size(); ++k) weight_(k, c) = fit.solution.a(k, c) / norm_[k];
    take_means();
    energy_ = take_energy();
    solve(fit);
    take_bias();
  }

  /// In units of the target.
  double residual_energy() const { return residual_energy_; }
  double energy() const { return energy_; }

  /// A for the columns of X that were kept, divided by their norms.
  matrix solution() const {
    matrix a(kept_.size(), m_.y_dimensions());
    for (index c = 0; c < a.cols(); ++c)
      for (index k = 0; k < a.rows(); ++k) a(k, c) = norm_[k] * weight_(k, c);
    return a;
  }

  /// Rows first.. of what is explained, Y or the update about its mean, and of the residual.
  void read(index first, matrix& goal, matrix& residual) const {
    parallel_chunks(residual.rows(), 16, [&](index chunk, index count) {
      Eigen::VectorXd in(m_.x_dimensions()), out(m_.y_dimensions());
      row_block minus_x(count, kept_.size()), r(count, targets_), r_low = row_block::Zero(count, targets_);
      for (index i = 0; i < count; ++i) {
        read_raw(first + chunk + i, in, out);
        for (index k = 0; k < kept_.size(); ++k) minus_x(i, k) = -in[kept_[k]] * m_.x.scale;
        for (index c = 0; c < out.size(); ++c) {
          goal(chunk + i, c) = about(explained_of(in, out, c), mean_of_explained(c)).value();
          double_double t = target_of(in, out, c);
          t.add(bias_[static_cast<std::size_t>(c)]);
          t = t.normalized();
          r(i, c) = t.high, r_low(i, c) = t.low;
        }
        for (index c = out.size(); c < targets_; ++c) r(i, c) = 0.0;
      }
      for (index c = 0; c < targets_; c += accurate_lanes)  // these columns of A serve all rows from the cache
        for (index i = 0; i < count; ++i)
          add_products_accurately(kept_.size(), &minus_x(i, 0), 1, &weight_(0, c), &weight_low_(0, c), targets_,
                                  &r(i, c), &r_low(i, c));
      residual.middleRows(chunk, count) = (r + r_low).leftCols(out.size());
    });
  }

 private:
  void read_raw(index i, Eigen::VectorXd& x, Eigen::VectorXd& y) const {
    data_.read(0, i, x.data());
    data_.read(1, i, y.data());
  }

  double_double update_of(const Eigen::VectorXd& x, const Eigen::VectorXd& y, index c) const {
    double_double update{y[c] * m_.target_stats().scale, 0.0};
    update.add(-x[c] * m_.target_stats().scale);
    return update;
  }
  double_double output_of(const Eigen::VectorXd& y, index c) const { return {y[c] * m_.target_stats().scale, 0.0}; }
  double_double target_of(const Eigen::VectorXd& x, const Eigen::VectorXd& y, index c) const {
    return (m_.target == regression_target::update) ? update_of(x, y, c) : output_of(y, c);
  }
  double_double explained_of(const Eigen::VectorXd& x, const Eigen::VectorXd& y, index c) const {
    return what_ == regression_target::update ? update_of(x, y, c) : output_of(y, c);
  }

  static double_double about(double_double value, const double_double& mean) {
    value.add({-mean.high, -mean.low});
    return value;
  }
  static double_double about(double value, const double_double& mean) { return about(double_double{value, 0.0}, mean); }
  const double_double& mean_of_x(index k) const { return x_mean_[static_cast<std::size_t>(k)]; }
  const double_double& mean_of_target(index c) const { return target_mean_[static_cast<std::size_t>(c)]; }
  const double_double& mean_of_explained(index c) const { return explained_mean_[static_cast<std::size_t>(c)]; }

  /// The means of value(x, y, c), or 0.
  template <class Value>
  std::vector<double_double> means(index columns, const Value& value) const {
    std::vector<double_double> sums(static_cast<std::size_t>(columns));
    if (m_.centering == centering::none) return sums;
    const index n = data_.size();
    Eigen::VectorXd x(m_.x_dimensions()), y(m_.y_dimensions());
    for (index i = 0; i < n; ++i) {
      read_raw(i, x, y);
      for (index c = 0; c < columns; ++c) sums[static_cast<std::size_t>(c)].add(value(x, y, c));
    }
    for (double_double& sum : sums) sum = sum.normalized() / static_cast<double>(n);
    return sums;
  }

  void take_means() {
    x_mean_ = means(m_.x_dimensions(),
                    [&](const auto& x, const auto&, index k) { return double_double{x[k] * m_.x.scale, 0.0}; });
    target_mean_ = means(m_.y_dimensions(), [&](const auto& x, const auto& y, index c) { return target_of(x, y, c); });
    explained_mean_ =
        means(m_.y_dimensions(), [&](const auto& x, const auto& y, index c) { return explained_of(x, y, c); });
  }

  double take_energy() const {
    Eigen::VectorXd x(m_.x_dimensions()), y(m_.y_dimensions()), row(m_.y_dimensions());
    double energy = 0.0;
    for (index i = 0; i < data_.size(); ++i) {
      read_raw(i, x, y);
      for (index c = 0; c < row.size(); ++c) row[c] = about(explained_of(x, y, c), mean_of_explained(c)).value();
      energy += squared_norm(row.data(), row.size());
    }
    return energy;
  }

  /// Steps by the factor of X and the residual in double-double (detail/refinement.hpp), until what is left,
  /// theta times the last one, is nothing to the gradient.
  void solve(const regression& fit) {
    Eigen::VectorXd in(m_.x_dimensions()), out(m_.y_dimensions());
    const matrix lower = factor_of_rows(data_.size(), kept_.size(), [&](index first, Eigen::Ref<matrix> rows) {
      for (index i = 0; i < rows.rows(); ++i) {
        read_raw(first + i, in, out);
        for (index k = 0; k < kept_.size(); ++k)
          rows(i, k) = about(in[kept_[k]] * m_.x.scale, mean_of_x(kept_[k])).value() / norm_[k];
      }
    });
    const Eigen::VectorXd p = problem_.inflation(places_of(problem_, kept_));
    const double theta = 2.0 * problem_.gamma_orthogonal() * p.norm() * fit.condition;
    constexpr double negligible = 1e-12;
    refinement refined(m_, data_, fit.solution);
    for (int step = 0; step < 6; ++step) {
      auto [gradient, energy, rounding] = refined.measure();
      substitute_forward(lower, gradient);
      const Eigen::VectorXd projected = column_energies(gradient);
      substitute_back(lower, gradient);
      refined.improve(gradient);
      improve(gradient);
      residual_energy_ = energy_left(energy, projected);
      if (theta * projected.sum() <= negligible * (std::min)(1.0, negligible / theta) * residual_energy_ &&
          theta * std::sqrt(column_energies(gradient).sum()) <=
              negligible * std::sqrt(column_energies(solution()).sum()))
        return;
    }
  }

  void improve(const matrix& step) {
    for (index c = 0; c < step.cols(); ++c)
      for (index k = 0; k < step.rows(); ++k) {
        double_double w{weight_(k, c), weight_low_(k, c)};
        w.add(step(k, c) / norm_[k]);
        w = w.normalized();
        weight_(k, c) = w.high, weight_low_(k, c) = w.low;
      }
  }

  /// mean x * a - mean t: what makes the residual's mean 0.
  void take_bias() {
    for (index c = 0; c < m_.y_dimensions(); ++c) {
      double_double& b = bias_[static_cast<std::size_t>(c)];
      for (index k = 0; k < kept_.size(); ++k) {
        const double_double& mean = mean_of_x(kept_[k]);
        b.add_product(mean.high, weight_(k, c));
        b.low += mean.low * weight_(k, c) + mean.high * weight_low_(k, c);
      }
      b = about(b, mean_of_target(c)).normalized();
    }
  }

  const scaled_problem& problem_;
  const pair_moments& m_;
  const row_source& data_;
  const regression_target what_;
  const indices kept_;
  const Eigen::VectorXd norm_;
  const index targets_;            // columns of t, filled up to whole lanes
  row_block weight_, weight_low_;  // A in the units of the data, kept columns x targets
  std::vector<double_double> bias_, x_mean_, target_mean_, explained_mean_;
  double residual_energy_ = 0.0, energy_ = 0.0;
};

/// What the gradients of one token are made of.
class score_gradient {
 public:
  score_gradient(const scaled_problem& problem, regression_target what, double unexplained, double energy,
                 double factor)
      : problem_(problem), m_(problem.moments()), what_(what), unexplained_(unexplained) {
    const int of_x = std::ilogb(m_.x.scale), of_target = std::ilogb(m_.target_stats().scale);
    // Without A of the output, or D, X counts in its own units only; no double may hold the two scales'
    // ratio.
    const bool is_mixed = what == regression_target::update || (m_.target == regression_target::update);
    x_power_ = is_mixed ? (std::max)(of_x, of_target) : of_x, target_power_ = of_target;
    x_share_ = std::ldexp(1.0, of_x - x_power_), target_share_ = std::ldexp(1.0, of_target - x_power_);
    ratio_ = std::ldexp(1.0, of_target - of_x);
    is_ordinary_ =
        of_x == 0 && of_target == 0 && (factor == 0.0 || (std::abs(factor) > 1e-100 && std::abs(factor) < 1e100));
    if (!is_ordinary_) {
      int power = 0;
      factor = std::frexp(factor, &power);
      x_power_ += power, target_power_ += power;
    }
    unit_ = 2.0 * factor / energy;
  }

  /// The rows of what is explained, from those of the scaled x and of the target, in place.
  void explain(index i, const matrix& x, matrix& target) const {
    if ((m_.target == regression_target::update) != (what_ == regression_target::output)) return;  // it is the target
    for (index j = 0; j < problem_.size(); ++j) {
      const double about_mean = x(i, j) * problem_.norm()[j] * ratio_;
      target(i, problem_.live()[j]) += what_ == regression_target::output ? about_mean : -about_mean;
    }
  }

  /// No element can be out of the range of double.
  bool is_ordinary() const { return is_ordinary_; }

  /// of_x and of_y, from row i of what is explained, of the residual R and of R A^T. of_x is 0 before.
  void row(index i, const matrix& goal, const matrix& residual, const matrix& through_a, double* of_x,
           double* of_y) const {
    const bool is_output = what_ == regression_target::output;
    for (index j = 0; j < problem_.size(); ++j) {
      const index k = problem_.live()[j];
      of_x[k] = unit_ * through_a(i, j) / problem_.norm()[j] * x_share_;
      // A of the output is that of the update, plus 1.
      if (is_output && (m_.target == regression_target::update)) of_x[k] += unit_ * residual(i, k) * target_share_;
    }
    for (index c = 0; c < goal.cols(); ++c) {
      const double share = unexplained_ * goal(i, c);
      of_y[c] = unit_ * (share - residual(i, c));
      // R A^T - (1 - s) D with A of the output.
      if (!is_output) of_x[c] -= ((m_.target == regression_target::update) ? of_y[c] : unit_ * share) * target_share_;
    }
    if (is_ordinary_) return;
    for (index k = 0; k < m_.x_dimensions(); ++k) of_x[k] = std::scalbn(of_x[k], x_power_);
    for (index c = 0; c < goal.cols(); ++c) of_y[c] = std::scalbn(of_y[c], target_power_);
  }

 private:
  const scaled_problem& problem_;
  const pair_moments& m_;
  regression_target what_;
  double unexplained_, unit_ = 0.0;
  bool is_ordinary_;
  // The gradients are 2^x_power_ and 2^target_power_ times what row() adds up. of_x is a sum of terms in
  // units of x_share_ and of target_share_; ratio_ makes x's of the target's.
  int x_power_, target_power_;
  double x_share_, target_share_, ratio_;
};

/// Adds factor * ds/dX and factor * ds/dY. One pass over the data, 4 n d^2 flops, where double is enough.
inline void add_score_gradients(const pair_moments& m, regression fit, const row_source& data, regression_target what,
                                double factor, const add_gradient_row& to_x, const add_gradient_row& to_y,
                                const operand_names& names) {
  const scaled_problem problem(m);
  if (fit.rank == m.degrees_of_freedom()) return;  // any Y at all scores 1
  const double to_target = m.target_stats().scale / m.stats(what).scale;
  double energy = m.total(what).value * to_target * to_target;
  if (!std::isfinite(energy)) return;  // an update so far above Y that what Y adds to it is lost
  std::optional<accurate_regression> accurate;
  const double tolerance = gradient_tolerance(fit.condition);
  if (!polish(problem, data, energy, tolerance, fit) || !is_plain(problem, fit, what, energy, tolerance)) {
    accurate.emplace(problem, data, fit, what);
    fit.solution.a = accurate->solution();
    fit.residual_energy = accurate->residual_energy(), energy = accurate->energy();
  }
  const score_gradient gradient(problem, what, (std::min)(1.0, fit.residual_energy / energy), energy, factor);
  const index n = data.size(), d = m.x_dimensions(), targets = m.y_dimensions();

  // A, with rows of 0 for the live columns of X that it leaves out.
  const indices places = places_of(problem, fit.solution.kept);
  matrix a = matrix::Zero(problem.size(), targets);
  for (index k = 0; k < fit.rank; ++k) a.row(places[k]) = fit.solution.a.row(k);
  packed_block weight, weight_transposed, tokens, residual_transposed;
  pack(a, weight);
  pack_transposed(a, weight_transposed);

  const auto for_each_row = [&](const add_gradient_row& add_x, const add_gradient_row& add_y) {
    matrix x, target, residual, through_a;
    for (index done = 0; done < n; done += block_rows) {
      const index count = (std::min)(block_rows, n - done);
      x.resize(count, problem.size());
      target.resize(count, targets);
      if (accurate) {
        residual.resize(count, targets);
        accurate->read(done, target, residual);
      } else {
        read_scaled(problem, data, done, x, target);
        residual = target;
        pack_transposed(x, tokens);
        add_products(-1.0, {{tokens, weight, residual}});
      }
      through_a.setZero(count, problem.size());
      pack_transposed(residual, residual_transposed);
      add_products(1.0, {{residual_transposed, weight_transposed, through_a}});
      parallel_chunks(count, 16, [&](index first, index length) {
        Eigen::VectorXd of_x(d + lanes), of_y = Eigen::VectorXd::Zero(targets + lanes);
        for (index i = first; i < first + length; ++i) {
          of_x.setZero();
          if (!accurate) gradient.explain(i, x, target);
          gradient.row(i, target, residual, through_a, of_x.data(), of_y.data());
          const index token = data.token(done + i);
          if (add_x) add_x(token, of_x.data());
          if (add_y) add_y(token, of_y.data());
        }
      });
    }
  };
  if (!gradient.is_ordinary()) {  // looked at before any is added
    const auto require_range = [](const add_gradient_row& asked, index cols, std::string_view name) {
      const std::string operand = text("a gradient of ", name, " within the range of double");
      return asked ? add_gradient_row([=](index token, const double* values) {
        for (index j = 0; j < cols; ++j)
          if (!std::isfinite(values[j]))
            fail<non_finite_error>(operand, text(values[j]), {.operand = name, .row = token, .column = j});
      })
                   : add_gradient_row();
    };
    for_each_row(require_range(to_x, d, names.x), require_range(to_y, targets, names.y));
  }
  for_each_row(to_x, to_y);
}

template <embedding_matrix X, embedding_matrix Y, class GradientX, class GradientY>
linearity_result score_and_gradient(const X& x, const Y& y, GradientX& gradient_x, GradientY& gradient_y, double factor,
                                    const linearity_options& options, const token_mask& mask, regression_target what,
                                    const operand_names& names) {
  if (!std::isfinite(factor)) fail<non_finite_error>("a finite value", text(factor), {.operand = "factor"});
  const row_reader x_rows(x);
  const row_reader y_rows(y);
  const add_gradient_row to_x = open_gradient(shape_of(x_rows), gradient_x, "gradient of " + std::string(names.x));
  const add_gradient_row to_y = open_gradient(shape_of(y_rows), gradient_y, "gradient of " + std::string(names.y));
  require_pair_for(what, x_rows, y_rows, names);
  const std::vector<index> tokens = mask.rows(x_rows.rows());
  const row_source data = pair_source(x_rows, y_rows, tokens, names);
  const auto [m, fit] = regress_rows(data, x_rows.cols(), y_rows.cols(), options, what, names, true);
  add_score_gradients(m, fit, data, what, factor, to_x, to_y, names);
  return make_result(fit, m, what);
}

}  // namespace detail

/// linearity(), and its gradients: factor * ds/dX is added to gradient_x, factor * ds/dY to gradient_y.
///
///     ds/dX = 2/E R A^T,  ds/dY = 2/E ((1 - s) Y - R),  E = ||Y||_F^2, R = Y - X A
///
/// with X and Y centred and A the solution of the least-squares problem, whose own change does not count at
/// the minimum.
///
/// gradient_x: n_tokens x d_x, gradient_y: n_tokens x d_y, of any scalar type, computed in double and rounded
/// once; or nullptr. They must not overlap x and y. Rows that the mask leaves out are not touched.
///
/// The error of each is at most 1e-10 of its norm, or 1e-15 times X's condition (linearity_result::condition)
/// where that is more, however small the residual is and however large the offsets of X and Y are: where
/// double is not enough for that, the residual and the energies are taken from the data in double-double. (It
/// counts from ||R|| ||A|| where sums over Y's columns cancel in R A^T.) They are orthogonal to the ones and
/// (each to its own matrix) to X and Y, as the score does not change under translation and scaling. A
/// constant column of X gets 0. Where columns are dependent A is not unique, and the score has no gradient
/// with respect to X: this is the formula for one of the solutions. Where there are not more tokens than
/// dimensions any Y scores 1, and both gradients are 0.
///
/// Errors as linearity(); shape_error for a gradient of another shape, non_finite_error for a factor that is
/// not finite and for a gradient beyond the range of double. Nothing has been added then. Costs linearity()
/// and another pass over the data, 4 n d^2 flops; from conditions of about 1e2 on one or two more, and from
/// 1e6 on a factorization; in double-double, for residuals below about 1e-4 of Y (at d = 1000) or offsets
/// beyond 1e5 of the spread, two or three passes of 40 n d^2 flops.
template <embedding_matrix X, embedding_matrix Y, gradient_or_none GradientX, gradient_or_none GradientY>
linearity_result linearity_and_gradient(const X& x, const Y& y, GradientX&& gradient_x, GradientY&& gradient_y,
                                        double factor = 1.0, const linearity_options& options = {},
                                        const token_mask& mask = {}) {
  return detail::score_and_gradient(x, y, gradient_x, gradient_y, factor, options, mask,
                                    detail::regression_target::output, detail::pair_names);
}

/// residual_linearity(), and its gradients: factor * ds/d(before) is added to gradient_before, factor *
/// ds/d(after) to gradient_after.
///
///     ds/dX = 2/E (R A^T - (1 - s) D),  ds/dY = 2/E ((1 - s) D - R),  D = Y - X, E = ||D||_F^2, R = Y - X A
///
/// Everything else as linearity_and_gradient().
template <embedding_matrix Before, embedding_matrix After, gradient_or_none GradientBefore,
          gradient_or_none GradientAfter>
linearity_result residual_linearity_and_gradient(const Before& before, const After& after,
                                                 GradientBefore&& gradient_before, GradientAfter&& gradient_after,
                                                 double factor = 1.0, const linearity_options& options = {},
                                                 const token_mask& mask = {}) {
  return detail::score_and_gradient(before, after, gradient_before, gradient_after, factor, options, mask,
                                    detail::regression_target::update, detail::residual_names);
}

}  // namespace layerwise::inline LAYERWISE_ABI
