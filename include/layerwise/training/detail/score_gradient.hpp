// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/detail/row_writer.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/indices.hpp>
#include <layerwise/kernel/lanes.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/product.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/metrics/linearity.hpp>
#include <layerwise/solve/detail/regress.hpp>
#include <layerwise/solve/detail/regression.hpp>
#include <layerwise/solve/detail/scaled_problem.hpp>
#include <layerwise/statistics/detail/columns.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>
#include <layerwise/training/detail/accurate_regression.hpp>
#include <layerwise/training/detail/gradient_solution.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

// With X, Y centred, A the solution, R = Y - X A its residual, f = ||R||^2 and s = 1 - f/E: A minimizes f, so
// its own change does not count (the envelope theorem), and
//     df/dX = -2 R A^T,   df/dY = 2 R.
// R is orthogonal to the ones, so centring changes nothing in either. For E = ||Y||^2, and for E = ||D||^2
// with the update D = Y - X,
//     ds/dX = 2/E R A^T,                 ds/dY = 2/E ((1 - s) Y - R),
//     ds/dX = 2/E (R A^T - (1 - s) D),   ds/dY = 2/E ((1 - s) D - R).
// This holds wherever the rank of X does not change: for independent columns.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Adds values, which are readable up to the end of their last lane block, to the gradient's row `token`.
/// Empty: not asked for.
using gradient_sink = std::function<void(index token, const double* values)>;
struct gradient_sinks {
  gradient_sink x, y;
};

inline gradient_sink open_gradient(const shape&, std::nullptr_t, std::string_view) { return {}; }
template <writable_embedding_matrix G>
gradient_sink open_gradient(const shape& expected, G& gradient, std::string_view name) {
  const auto view = view_of(gradient);
  require_equal_shape(expected, shape_of(row_reader(view)), {.operand = text("gradient of ", name)});
  return [view](index token, const double* values) {
    add_to_row(view, token, token, [values](const auto& at) { return at(values); });
  };
}

/// Instead of adding, throws for what is beyond the range of double.
inline gradient_sink require_range(const gradient_sink& asked, index cols, std::string_view name) {
  if (!asked) return {};
  return [cols, name, expected = text("a gradient of ", name, " within the range of double")](index token,
                                                                                              const double* values) {
    for (index j = 0; j < cols; ++j)
      if (!std::isfinite(values[j]))
        fail<non_finite_error>(expected, text(values[j]), {.operand = name, .row = token, .column = j});
  };
}

/// What the gradients of a block of tokens are made of.
struct gradient_operands {
  matrix goal;       ///< Y, or D: whose score it is
  matrix residual;   ///< R
  matrix through_a;  ///< R A^T for the live columns of X, A that of the regression's target
  matrix x;          ///< the live columns of X, where `goal` is made of them
  packed_block packed_x, packed_residual;
};

/// A regression that is good enough for gradients, and its rows.
class gradient_regression {
 public:
  /// energy: of what the score is of, in units of the regression's target.
  gradient_regression(const scaled_problem& problem, const row_source& data, regression fit, regression_target what,
                      double energy)
      : problem_(problem), data_(data), what_(what), energy_(energy) {
    const double tolerance = gradient_tolerance(fit.condition);
    if (!refine_for_gradient(problem, data, energy, tolerance, fit) ||
        !double_suffices(problem, fit, what, energy, tolerance)) {
      accurate_.emplace(problem, data, fit, what);
      fit.solution.a = accurate_->solution();
      fit.residual_energy = accurate_->residual_energy(), energy_ = accurate_->energy();
    }
    residual_energy_ = fit.residual_energy;
    // A, with rows of 0 for the live columns of X that it leaves out.
    const indices places = problem.places_of(fit.solution.kept);
    matrix a = matrix::Zero(problem.size(), fit.solution.a.cols());
    for (index k = 0; k < fit.rank; ++k) a.row(places[k]) = fit.solution.a.row(k);
    pack(a, weight_);
    pack_transposed(a, weight_transposed_);
  }

  double energy() const { return energy_; }
  /// 1 - s
  double unexplained() const { return unexplained_share(residual_energy_, energy_); }

  void read(index first, index count, gradient_operands& out) const {
    out.goal.resize(count, problem_.moments().y_dimensions());
    if (accurate_) {
      out.residual.resize(count, out.goal.cols());
      accurate_->read(first, out.goal, out.residual);
    } else {
      out.x.resize(count, problem_.size());
      read_scaled(problem_, data_, first, out.x, out.goal);
      out.residual = out.goal;
      pack_transposed(out.x, out.packed_x);
      add_products(-1.0, {{out.packed_x, weight_, out.residual}});
      make_goal(out);
    }
    out.through_a.setZero(count, problem_.size());
    pack_transposed(out.residual, out.packed_residual);
    add_products(1.0, {{out.packed_residual, weight_transposed_, out.through_a}});
  }

 private:
  /// Y = D + X, or D = Y - X, where the other one is the regression's target.
  void make_goal(gradient_operands& block) const {
    const pair_moments& m = problem_.moments();
    if (m.target == what_) return;
    const double sign = what_ == regression_target::output ? 1.0 : -1.0;
    const double ratio = sign * std::ldexp(1.0, exponent_of_ratio(m.target_stats().scale, m.x.scale));
    for (index j = 0; j < problem_.size(); ++j)
      block.goal.col(problem_.live()[j]) += block.x.col(j) * problem_.norm()[j] * ratio;
  }

  const scaled_problem& problem_;
  const row_source& data_;
  regression_target what_;
  double residual_energy_ = 0.0, energy_;
  packed_block weight_, weight_transposed_;
  std::optional<accurate_regression> accurate_;
};

/// The gradients of some tokens, from what they are made of, in the units of the data.
class score_gradient {
 public:
  score_gradient(const scaled_problem& problem, const gradient_regression& fit, regression_target what, double factor)
      : problem_(problem), what_(what), unexplained_(fit.unexplained()) {
    const pair_moments& m = problem.moments();
    const int of_x = std::ilogb(m.x.scale), of_target = std::ilogb(m.target_stats().scale);
    // Without A of the output, or D, X counts in its own units only; no double may hold the two scales'
    // ratio.
    const bool is_mixed = what == regression_target::update || m.target == regression_target::update;
    x_power_ = is_mixed ? (std::max)(of_x, of_target) : of_x, target_power_ = of_target;
    x_share_ = std::ldexp(1.0, of_x - x_power_), target_share_ = std::ldexp(1.0, of_target - x_power_);
    const double size = std::abs(factor);
    is_ordinary_ = of_x == 0 && of_target == 0 &&
                   (size == 0.0 || (size > least_safe_gradient_factor && size < largest_safe_gradient_factor));
    if (!is_ordinary_) {
      int power = 0;
      factor = std::frexp(factor, &power);
      x_power_ += power, target_power_ += power;
    }
    unit_ = 2.0 * factor / fit.energy();
  }

  /// No element can be out of the range of double.
  bool is_ordinary() const { return is_ordinary_; }

  /// Rows first.. of the block, into the leading columns.
  void read(const gradient_operands& block, index first, row_block& of_x, row_block& of_y) const {
    const index count = of_x.rows(), targets = block.goal.cols();
    const auto residual = block.residual.middleRows(first, count);
    const matrix share = unexplained_ * block.goal.middleRows(first, count);  // rounded: no multiply-add takes it
    const bool is_output = what_ == regression_target::output;
    const bool is_of_update = problem_.moments().target == regression_target::update;
    of_x.setZero();
    for (index j = 0; j < problem_.size(); ++j) {
      const index k = problem_.live()[j];
      of_x.col(k) = unit_ * block.through_a.col(j).segment(first, count) / problem_.norm()[j] * x_share_;
      // A of the output is that of the update, plus 1.
      if (is_output && is_of_update) of_x.col(k) += unit_ * residual.col(k) * target_share_;
    }
    of_y.leftCols(targets) = unit_ * (share - residual);
    // R A^T - (1 - s) D with A of the output.
    if (!is_output && is_of_update) of_x.leftCols(targets) -= of_y.leftCols(targets) * target_share_;
    if (!is_output && !is_of_update) of_x.leftCols(targets) -= unit_ * share * target_share_;
    if (is_ordinary_) return;
    of_x = of_x.unaryExpr([this](double g) { return std::scalbn(g, x_power_); });
    of_y = of_y.unaryExpr([this](double g) { return std::scalbn(g, target_power_); });
  }

 private:
  const scaled_problem& problem_;
  regression_target what_;
  double unexplained_, unit_ = 0.0;
  bool is_ordinary_;
  // The gradients are 2^x_power_ and 2^target_power_ times what read() adds up: that of X is a sum of terms in units of
  // x_share_ and of target_share_.
  int x_power_, target_power_;
  double x_share_, target_share_;
};

/// What is asked of a gradient: factor times that of a score.
struct gradient_call {
  regression_call score;
  const token_mask& mask;
  double factor = 1.0;
};

/// Adds factor * ds/dX and factor * ds/dY. One pass over the data, 4 n d^2 flops, where double is enough.
inline void add_score_gradients(const pair_moments& m, const regression& fit, const row_source& data,
                                const gradient_call& call, const gradient_sinks& to) {
  const auto& [options, what, names, solution] = call.score;
  const scaled_problem problem(m);
  if (fit.rank == m.degrees_of_freedom()) return;  // any Y at all scores 1
  const double to_target = m.target_stats().scale / m.stats(what).scale;
  const double energy = m.total(what).value * to_target * to_target;
  if (!std::isfinite(energy)) return;  // an update so far above Y that what Y adds to it is lost
  const gradient_regression solved(problem, data, fit, what, energy);
  const score_gradient gradient(problem, solved, what, call.factor);
  const index n = data.size(), d = m.x_dimensions(), targets = m.y_dimensions();

  const auto for_each_row = [&](const gradient_sinks& sinks) {
    gradient_operands block;
    for (index done = 0; done < n; done += block_rows) {
      solved.read(done, (std::min)(block_rows, n - done), block);
      parallel_chunks(block.goal.rows(), 16, [&](index first, index count) {
        row_block of_x(count, d + lanes), of_y = row_block::Zero(count, targets + lanes);
        gradient.read(block, first, of_x, of_y);
        for (index i = 0; i < count; ++i) {
          const index token = data.token(done + first + i);
          if (sinks.x) sinks.x(token, &of_x(i, 0));
          if (sinks.y) sinks.y(token, &of_y(i, 0));
        }
      });
    }
  };
  if (!gradient.is_ordinary())  // looked at before any is added
    for_each_row({require_range(to.x, d, names.x), require_range(to.y, targets, names.y)});
  for_each_row(to);
}

template <embedding_matrix X, embedding_matrix Y, class GradientX, class GradientY>
linearity_result score_and_gradient(const X& x, const Y& y, GradientX& gradient_x, GradientY& gradient_y,
                                    const gradient_call& call) {
  if (!std::isfinite(call.factor)) fail<non_finite_error>("a finite value", text(call.factor), {.operand = "factor"});
  const row_reader x_rows(x);
  const row_reader y_rows(y);
  const operand_names& names = call.score.names;
  const gradient_sinks to{open_gradient(shape_of(x_rows), gradient_x, names.x),
                          open_gradient(shape_of(y_rows), gradient_y, names.y)};
  require_operands(x_rows, y_rows, call.score);
  const std::vector<index> tokens = call.mask.rows(x_rows.rows());
  const row_source data = pair_source(x_rows, y_rows, tokens, names);
  const auto [m, fit] = regress_rows(data, x_rows.cols(), y_rows.cols(), call.score);
  add_score_gradients(m, fit, data, call, to);
  return make_result(fit, m, call.score.what);
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
