// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/solve/detail/by_cholesky.hpp>
#include <layerwise/solve/detail/by_pivots.hpp>
#include <layerwise/solve/detail/by_qr.hpp>
#include <layerwise/solve/detail/regression.hpp>
#include <layerwise/solve/detail/scaled_problem.hpp>
#include <layerwise/solve/linearity_options.hpp>
#include <layerwise/solve/solver.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

// From moments to a regression that is certain enough: which solver, and for which target.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// The error of a residual energy with which a score keeps to the tolerance, in its own units; half of it at least is
/// left to it, for where the energy it is divided by is not known better.
inline double allowed_error(const pair_moments& m, regression_target what, double tolerance) {
  const total_energy& total = m.total(what);
  return total.value * (std::max)(tolerance - total.relative_error - 4.0 * unit_roundoff, 0.5 * tolerance);
}

/// The same for all scores that are wanted, in units of the target.
inline double allowed_error(const pair_moments& m, const regression_request& wanted) {
  double allowed = HUGE_VAL;
  for (const regression_target what : {regression_target::output, regression_target::update}) {
    if (!wanted.wants(what)) continue;
    const double ratio = m.target_stats().scale / m.stats(what).scale;
    allowed = (std::min)(allowed, allowed_error(m, what, wanted.tolerance) * ratio * ratio);
  }
  return allowed;
}

/// Solves by the chosen method; `data` is null where only moments are left. The moments must have variance in x.
inline regression solve_as_given(const scaled_problem& problem, const regression_request& wanted,
                                 const row_source* data) {
  const double allowed = allowed_error(problem.moments(), wanted);
  if (wanted.method == solver::rank_revealing) return solve_rank_revealing(problem);
  if (wanted.method == solver::orthogonal) {
    if (data == nullptr) require_moments_suffice(wanted.method);
    return solve_orthogonal(problem, *data, allowed);
  }
  std::optional<regression> fit;
  if (problem.size() <= problem.moments().rank_limit()) fit = solve_cholesky(problem, data, allowed, wanted.solution);
  if (wanted.method == solver::cholesky) {
    if (!fit)
      fail<degenerate_input_error>("linearly independent columns, as solver::cholesky needs",
                                   "columns that are dependent within rounding", {.operand = "X"});
    return *std::move(fit);
  }
  if (fit && fit->residual_error <= allowed) return *std::move(fit);
  if (data != nullptr) return solve_orthogonal(problem, *data, allowed);
  regression revealing = solve_rank_revealing(problem);
  return fit && fit->residual_error <= revealing.residual_error ? *std::move(fit) : std::move(revealing);
}

/// solve_as_given(), and what holds whatever the method.
inline regression solve(const pair_moments& moments, const regression_request& wanted,
                        const row_source* data = nullptr) {
  const scaled_problem problem(moments);
  regression fit = solve_as_given(problem, wanted, data);
  if (const double norm = problem.in_units_of_target(problem.norm_of_constant()); norm > 0.0)
    fit.left_out = std::hypot(fit.left_out, norm);
  if (fit.rank == moments.degrees_of_freedom())
    fit.residual_energy = fit.residual_error = fit.left_out = 0.0;  // X spans every direction there is
  return fit;
}

/// The regression of one of the targets, and its moments, where that of the other one, `shared`, leaves too much
/// open: for columns that were left out, or where the first tokens, by which the target was chosen, mislead. Only from
/// the data.
inline std::optional<std::pair<pair_moments, regression>> solve_for(regression_target what, const pair_moments& moments,
                                                                    const regression& shared, regression_request wanted,
                                                                    const row_source* data) {
  wanted.output = what == regression_target::output, wanted.update = what == regression_target::update;
  const bool may_ask_data =
      data != nullptr && (wanted.method == solver::automatic || wanted.method == solver::orthogonal);
  const double error = moments.in_units_of(what, shared.error_for(what));
  if (!may_ask_data || what == shared.target || error <= allowed_error(moments, what, wanted.tolerance))
    return std::nullopt;
  pair_moments own = moments;
  own.target = what;
  wanted.method = solver::orthogonal;  // `cross` is that of the shared target
  regression fit = solve(own, wanted, data);
  return std::pair(std::move(own), std::move(fit));
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
