// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/cholesky.hpp>
#include <layerwise/kernel/indices.hpp>
#include <layerwise/kernel/lanczos.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/solve/detail/certificate.hpp>
#include <layerwise/solve/detail/regression.hpp>
#include <layerwise/solve/detail/residual.hpp>
#include <layerwise/solve/detail/scaled_problem.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <utility>

namespace layerwise::inline LAYERWISE_ABI::detail {

/// The columns that a pivoted Cholesky of G~ keeps.
struct pivot_columns {
  pivoted_cholesky pivoted;
  indices kept, others;
  matrix lower;  ///< L of those that were kept
  eigenvalue_range range;
  moment_certificate certificate;

  pivot_columns(const scaled_problem& problem, const matrix& gram, double cutoff)
      : pivoted(gram, problem.moments().rank_limit(), cutoff),
        kept(pivoted.order.head(pivoted.rank())),
        others(pivoted.order.tail(problem.size() - pivoted.rank())),
        lower(pivoted.l.topRows(pivoted.rank())),
        range(eigenvalues_of_gram(lower)),
        certificate(problem, kept, range.smallest) {}

  index rank() const { return pivoted.rank(); }
};

/// Up to the cutoff where pivots can no longer be told from rounding, or a higher one, where what was kept would still
/// be too close to it.
inline pivot_columns certain_pivots(const scaled_problem& problem) {
  const matrix gram = problem.gram();
  double cutoff = 4.0 * static_cast<double>(problem.size()) * rounding_of_moments(problem);
  for (;; cutoff = (std::min)(10.0 * cutoff, 0.5))
    if (pivot_columns found(problem, gram, cutoff); found.certificate.holds() || !(cutoff < 0.5)) return found;
}

/// At most what the columns that were kept leave of X, in units of the target.
inline double norm_left_of_x(const scaled_problem& problem, const pivot_columns& columns) {
  const Eigen::VectorXd p = problem.cancellation(columns.others), norm = problem.norms(columns.others);
  double left = 0.0;
  for (index i = 0; i < p.size(); ++i)
    left += columns.certificate.left_of(columns.pivoted.left[i], p[i]) * norm[i] * norm[i];
  return problem.in_units_of_target(std::sqrt(left));
}

/// Pivoted Cholesky of the second moments, cut off where the pivots can no longer be told from rounding. What
/// the directions beyond would explain cannot be known from moments: all of it may be, so the bound takes in
/// the whole residual energy, unless the rank that was found is already all that the rows allow.
inline regression solve_rank_revealing(const scaled_problem& problem) {
  const pair_moments& m = problem.moments();
  const Eigen::VectorXd& energy = m.target_stats().energy;
  const pivot_columns columns = certain_pivots(problem);
  const index rank = columns.rank();

  const matrix right = problem.right_side();
  matrix a(rank, right.cols());
  for (index c = 0; c < a.cols(); ++c)
    for (index i = 0; i < rank; ++i) a(i, c) = right(columns.kept[i], c);
  substitute_forward(columns.lower, a);
  const Eigen::VectorXd explained = column_energies(a);
  substitute_back(columns.lower, a);

  regression out{.method = solver::rank_revealing, .target = m.target, .rank = rank};
  out.condition = columns.range.condition();
  out.discarded_energy = columns.pivoted.left.sum() / static_cast<double>(problem.size());
  out.residual_energy = energy_left(energy, explained);
  out.residual_error = columns.certificate.holds() ? columns.certificate.of_moments(a) : energy.sum();
  if (rank < problem.size() && rank < m.rank_limit()) {
    out.residual_error += out.residual_energy;
    out.left_out = norm_left_of_x(problem, columns);
  }
  out.solution = problem.solution(std::move(a), columns.kept);
  return out;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
