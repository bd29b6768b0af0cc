// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/detail/product.hpp>
#include <layerwise/detail/row_reader.hpp>
#include <layerwise/detail/row_writer.hpp>
#include <layerwise/embedding.hpp>
#include <layerwise/error.hpp>
#include <layerwise/linearity.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <functional>
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
concept gradient_or_none = std::same_as<std::remove_cvref_t<G>, std::nullptr_t> ||
    writable_embedding_matrix<std::remove_reference_t<G>>;

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

/// Makes a solution that is good for the score good for the gradient: the score's error is quadratic in that
/// of A, the gradient's linear. Solutions of Cholesky are corrected until X explains no more of the residual
/// than rounding.
inline void polish(const scaled_problem& problem, const pair_data& data, regression& fit) {
  if (fit.method != solver::cholesky) return;
  // By the derivation in least_squares.hpp the energy of X (a~ - a*) is about theta times the bound of
  // certificate 1.
  const indices all = first_indices(problem.size());
  const double theta =
      2.0 * problem.inflation(all).squaredNorm() * problem.gamma() * fit.condition * fit.condition;
  constexpr double negligible = 1e-20;  // 1e-10 of the gradient
  if (theta * fit.residual_error <= negligible * fit.residual_energy) return;
  matrix factor = problem.gram(), nothing(problem.size(), 0);
  if (!eliminate(factor, nothing)) return;
  for (int step = 0; step < 4; ++step) {
    const residual_projection found = project_residual(problem, factor, data, fit.solution.a);
    fit.solution.a += found.step;
    if (found.projected.sum() <= negligible * found.energy.sum()) break;
  }
}

/// What the gradients of one token are made of.
class score_gradient {
 public:
  score_gradient(const scaled_problem& problem, explained what, double unexplained, double unit)
      : problem_(problem), m_(problem.moments()), what_(what), unexplained_(unexplained), unit_(unit) {}

  /// of_x and of_y, from row i of the scaled x, of the target, of its residual R and of R A^T. of_x is 0
  /// before.
  void row(index i, const matrix& x, const matrix& target, const matrix& residual,
           const matrix& through_a, double* of_x, double* of_y) const {
    const bool is_output = what_ == explained::output;
    for (index c = 0; c < target.cols(); ++c) of_y[c] = target(i, c);  // what is to be explained, so far
    for (index j = 0; j < problem_.size(); ++j) {
      const index k = problem_.live()[j];
      of_x[k] = unit_ * through_a(i, j) / problem_.norm()[j] * m_.x.scale;
      if ((m_.target == explained::update) != is_output) continue;
      // The target is the other one of y and y - x; and A of the output is that of the update, plus 1.
      const double about_mean = x(i, j) * problem_.norm()[j] / m_.x.scale * m_.target_stats().scale;
      of_y[k] += is_output ? about_mean : -about_mean;
      if (is_output) of_x[k] += unit_ * residual(i, k) * m_.target_stats().scale;
    }
    for (index c = 0; c < target.cols(); ++c) {
      const double share = unexplained_ * of_y[c];
      of_y[c] = unit_ * (share - residual(i, c)) * m_.target_stats().scale;
      // R A^T - (1 - s) D with A of the output.
      if (!is_output) of_x[c] -= (m_.target == explained::update) ? of_y[c] : unit_ * share * m_.target_stats().scale;
    }
  }

 private:
  const scaled_problem& problem_;
  const pair_moments& m_;
  explained what_;
  double unexplained_, unit_;
};

/// Adds factor * ds/dX and factor * ds/dY. One pass over the data, 4 n d^2 flops.
inline void add_score_gradients(const pair_moments& m, regression fit, const pair_data& data, explained what,
                                double factor, const add_gradient_row& to_x, const add_gradient_row& to_y) {
  const scaled_problem problem(m);
  if (fit.rank == m.degrees_of_freedom()) return;  // any Y at all scores 1
  polish(problem, data, fit);
  const double to_target = m.target_stats().scale / m.stats(what).scale;
  const double energy = m.total(what).value * to_target * to_target;  // in units of the target
  const score_gradient gradient(problem, what, (std::min)(1.0, fit.residual_energy / energy),
                                2.0 * factor / energy);
  const index n = static_cast<index>(data.rows.size()), d = m.x_dimensions(), targets = m.y_dimensions();

  // A, with rows of 0 for the live columns of X that it leaves out.
  const indices& live = problem.live();  // ascending
  matrix a = matrix::Zero(problem.size(), targets);
  for (index k = 0; k < fit.rank; ++k)
    a.row(std::lower_bound(live.begin(), live.end(), fit.solution.kept[k]) - live.begin()) =
        fit.solution.a.row(k);
  packed_block weight, weight_transposed, tokens, residual_transposed;
  pack(a, weight);
  pack_transposed(a, weight_transposed);

  matrix x, target, residual, through_a;
  for (index done = 0; done < n; done += block_rows) {
    const index count = (std::min)(block_rows, n - done);
    x.resize(count, problem.size());
    target.resize(count, targets);
    read_scaled(problem, data, done, x, target);
    residual = target;
    pack_transposed(x, tokens);
    add_products(-1.0, {{tokens, weight, residual}});
    through_a.setZero(count, problem.size());
    pack_transposed(residual, residual_transposed);
    add_products(1.0, {{residual_transposed, weight_transposed, through_a}});
    parallel_chunks(count, 16, [&](index first, index length) {
      Eigen::VectorXd of_x(d + lanes), of_y = Eigen::VectorXd::Zero(targets + lanes);
      for (index i = first; i < first + length; ++i) {
        of_x.setZero();
        gradient.row(i, x, target, residual, through_a, of_x.data(), of_y.data());
        const index token = data.rows[static_cast<std::size_t>(done + i)];
        if (to_x) to_x(token, of_x.data());
        if (to_y) to_y(token, of_y.data());
      }
    });
  }
}

template <embedding_matrix X, embedding_matrix Y, class GradientX, class GradientY>
linearity_result score_and_gradient(const X& x, const Y& y, GradientX& gradient_x, GradientY& gradient_y,
                                    double factor, const linearity_options& options, explained what,
                                    const operand_names& names) {
  if (!std::isfinite(factor)) fail<non_finite_error>("a finite value", text(factor), {.operand = "factor"});
  const row_reader x_rows(x);
  const row_reader y_rows(y);
  const add_gradient_row to_x =
      open_gradient(shape_of(x_rows), gradient_x, "gradient of " + std::string(names.x));
  const add_gradient_row to_y =
      open_gradient(shape_of(y_rows), gradient_y, "gradient of " + std::string(names.y));
  const auto [m, fit] = regress(x, y, options, what, names, true);
  const std::vector<index> rows = options.mask.rows(x_rows.rows());
  const pair_data data{read_pair(x_rows, y_rows), rows};
  add_score_gradients(m, fit, data, what, factor, to_x, to_y);
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
/// They are right to about 1e-10, or to 1e-15 times X's condition where that is more. They are orthogonal to
/// the ones and (each to its own matrix) to X and Y, as the score does not change under translation and
/// scaling. A constant column of X gets 0. Where columns are dependent A is not unique, and the score has no
/// gradient with respect to X: this is the formula for one of the solutions. Where there are not more tokens
/// than dimensions any Y scores 1, and both gradients are 0.
///
/// Errors as linearity(); shape_error for a gradient of another shape, non_finite_error for a factor that is
/// not finite. Nothing has been added then. Costs linearity() and another pass over the data, 4 n d^2 flops;
/// from conditions of about 1e2 on one or two more.
template <embedding_matrix X, embedding_matrix Y, gradient_or_none GradientX, gradient_or_none GradientY>
linearity_result linearity_and_gradient(const X& x, const Y& y, GradientX&& gradient_x,
                                        GradientY&& gradient_y, double factor = 1.0,
                                        const linearity_options& options = {}) {
  return detail::score_and_gradient(x, y, gradient_x, gradient_y, factor, options, detail::explained::output,
                                    detail::pair_names);
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
                                                 GradientBefore&& gradient_before,
                                                 GradientAfter&& gradient_after, double factor = 1.0,
                                                 const linearity_options& options = {}) {
  return detail::score_and_gradient(before, after, gradient_before, gradient_after, factor, options,
                                    detail::explained::update, detail::residual_names);
}

}  // namespace layerwise
