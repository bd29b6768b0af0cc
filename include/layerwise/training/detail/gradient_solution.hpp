// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/kernel/cholesky.hpp>
#include <layerwise/kernel/indices.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/solve/detail/by_qr.hpp>
#include <layerwise/solve/detail/certificate.hpp>
#include <layerwise/solve/detail/regression.hpp>
#include <layerwise/solve/detail/residual.hpp>
#include <layerwise/solve/detail/scaled_problem.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

// Whether a solution that is good for the score is good for the gradient, too, and what makes it so in double: the
// score's error is quadratic in that of A, the gradient's linear.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// The error of a gradient, relative to its norm, that is promised.
inline double gradient_tolerance(double condition) { return (std::max)(1e-10, 1e-15 * condition); }

/// The triangle R of some columns of n rows, transposed; fill(first, rows) writes rows first..
template <class Fill>
matrix factor_of_rows(index n, index columns, const Fill& fill) {
  block_qr qr(columns, 0);
  qr.add_all(n, [&](index first, Eigen::Ref<matrix> rows, auto) { fill(first, rows); });
  return qr.triangle().leftCols(columns).transpose();
}

/// A factor L of the scaled X^T X, all of whose columns were kept: from the moments if they gave the solution, else
/// from the data. Empty if the factorization breaks down.
inline std::optional<matrix> factor_for(const scaled_problem& problem, const row_source& data, solver method) {
  if (method == solver::cholesky) {
    matrix factor = problem.gram(), nothing(problem.size(), 0);
    return cholesky_in_place(factor, nothing) ? std::optional(std::move(factor)) : std::nullopt;
  }
  matrix target;
  return factor_of_rows(data.size(), problem.size(), [&](index first, Eigen::Ref<matrix> rows) {
    target.resize(rows.rows(), problem.moments().y_dimensions());
    read_scaled(problem, data, first, rows, target);
  });
}

/// Corrects the solution until X explains no more of the residual than rounding, and takes the residual energy from
/// the data where the moments' is not good enough. False where the solution may still be off by more than the
/// tolerance. `energy` is what the score is relative to.
inline bool refine_for_gradient(const scaled_problem& problem, const row_source& data, double energy, double tolerance,
                                regression& fit) {
  if (fit.rank < problem.size() || fit.method == solver::rank_revealing) return false;
  const indices all = first_indices(problem.size()), places = problem.places_of(fit.solution.kept);
  matrix a(problem.size(), fit.solution.a.cols());
  for (index k = 0; k < a.rows(); ++k) a.row(places[k]) = fit.solution.a.row(k);
  fit.solution = problem.solution(std::move(a), all);
  if (fit.method == solver::cholesky) {
    // By certificate 1 the energy of X (a~ - a*) is about theta times its bound.
    const double theta =
        theta_of_moments_by_condition(rounding_of_moments(problem), problem.cancellation(all), fit.condition);
    if (theta * fit.residual_error <= tolerance * tolerance * fit.residual_energy &&
        fit.residual_error <= tolerance * std::sqrt(fit.residual_energy * energy))
      return true;
  }
  const std::optional<matrix> factor = factor_for(problem, data, fit.method);
  for (int step = 0; factor && step < 4; ++step) {
    const residual_projection found = project_residual(problem, *factor, data, fit.solution.a);
    fit.solution.a += found.step;
    fit.residual_energy = found.left();
    // A measurement, with its own rounding, of what the step before has left.
    if (found.projected.sum() <= tolerance * tolerance * found.energy.sum() &&
        found.step.norm() <= tolerance * fit.solution.a.norm())
      return true;
  }
  return false;
}

/// Whether double is good enough for the rows of the residual, of energy fit.residual_energy, and for the
/// energy that the score is relative to. Roundings are taken as independent, as in certificate.hpp, and the
/// terms of a sum over d as either of one sign, and then below the sum, or of independent signs.
inline bool double_suffices(const scaled_problem& problem, const regression& fit, regression_target what, double energy,
                            double tolerance) {
  const pair_moments& m = problem.moments();
  const matrix& a = fit.solution.a;
  const Eigen::VectorXd p = problem.cancellation(problem.places_of(fit.solution.kept));
  const double f = fit.residual_energy;
  matrix weighted = a;
  for (index c = 0; c < a.cols(); ++c)
    for (index i = 0; i < a.rows(); ++i) weighted(i, c) *= p[i];
  const double terms = std::sqrt(column_energies(weighted).sum()) + std::sqrt(m.target_stats().noise.sum());
  const double rounding = unit_roundoff * (2.0 * std::sqrt(static_cast<double>(problem.size())) + 10.0) * terms;
  const double of_energy = m.total(what).relative_error;
  if (!(rounding <= tolerance * std::sqrt(f) && of_energy <= tolerance)) return false;
  if (m.target == what) return true;
  // Y - X + X, or Y - X, is rounded; the gradient sees f / energy of it.
  const double x = std::ldexp(norm(problem.norm()), exponent_of_ratio(m.target_stats().scale, m.x.scale));
  return unit_roundoff * x * std::sqrt(f) <= tolerance * energy;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
