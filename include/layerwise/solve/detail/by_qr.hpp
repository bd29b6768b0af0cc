// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/kernel/cholesky.hpp>
#include <layerwise/kernel/householder.hpp>
#include <layerwise/kernel/indices.hpp>
#include <layerwise/kernel/lanczos.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/solve/detail/certificate.hpp>
#include <layerwise/solve/detail/refinement.hpp>
#include <layerwise/solve/detail/regression.hpp>
#include <layerwise/solve/detail/scaled_problem.hpp>
#include <layerwise/statistics/detail/columns.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <utility>

namespace layerwise::inline LAYERWISE_ABI::detail {

/// Householder QR of [X T] block by block: [R Q^T T], and the energy of what is left of T.
class block_qr {
 public:
  block_qr(index x_dimensions, index target_dimensions)
      : x_dimensions_(x_dimensions),
        triangle_(0, x_dimensions + target_dimensions),
        left_(Eigen::VectorXd::Zero(target_dimensions)) {}

  /// Adds `count` rows, which fill(x, t) writes.
  template <class Fill>
  void add(index count, const Fill& fill) {
    const index targets = left_.size();
    matrix stacked(triangle_.rows() + count, x_dimensions_ + targets);
    stacked.topRows(triangle_.rows()) = triangle_;
    fill(stacked.bottomLeftCorner(count, x_dimensions_), stacked.bottomRightCorner(count, targets));
    reduce_to_triangle(stacked, x_dimensions_);
    const index kept = (std::min)(stacked.rows(), x_dimensions_);
    for (index j = 0; j < kept; ++j) std::fill_n(&stacked(j, j) + 1, kept - j - 1, 0.0);
    left_ += column_energies(stacked, kept).tail(targets);
    triangle_ = stacked.topRows(kept);
  }

  /// Adds n rows: fill(first, x, t) writes rows first.. of them, as many at once as R has, for the cost of R to be
  /// hidden.
  template <class Fill>
  void add_all(index n, const Fill& fill) {
    const index rows_at_once = (std::max)(block_rows, x_dimensions_);
    for (index done = 0; done < n; done += rows_at_once)
      add((std::min)(rows_at_once, n - done), [&](auto x, auto t) { fill(done, x, t); });
  }

  /// [R Q^T T]
  const matrix& triangle() const { return triangle_; }
  const Eigen::VectorXd& left() const { return left_; }

 private:
  index x_dimensions_;
  matrix triangle_;
  Eigen::VectorXd left_;
};

/// The columns that a pivoted QR of R keeps.
struct qr_columns {
  indices kept, others;
  matrix lower;  ///< their R^T
  eigenvalue_range range;
  factorization_certificate certificate;

  qr_columns(const scaled_problem& problem, const pivoted_qr& pivoted, index rank)
      : kept(pivoted.order.head(rank)),
        others(pivoted.order.tail(problem.size() - rank)),
        lower(pivoted.r.topLeftCorner(rank, rank).transpose()),
        range(eigenvalues_of_gram(lower)),
        certificate(problem, kept, range.smallest) {}

  index rank() const { return kept.size(); }
};

/// As many as the certificate holds for.
inline qr_columns certain_columns(const scaled_problem& problem, const pivoted_qr& pivoted) {
  index rank = pivoted.rank;
  for (double cutoff = 2.0 * rank_cutoff(problem);; cutoff *= 2.0) {
    if (qr_columns found(problem, pivoted, rank); found.certificate.holds() || rank == 1) return found;
    rank = pivoted.rank_above(cutoff, rank - 1);
  }
}

/// At most what the columns that were kept leave of X, in units of the target, where they leave these energies of the
/// other columns.
inline double norm_left_of_x(const scaled_problem& problem, const pivoted_qr& pivoted, const qr_columns& columns,
                             const Eigen::VectorXd& left) {
  const Eigen::VectorXd p = problem.cancellation(columns.others), norm = problem.norms(columns.others);
  matrix w = pivoted.r.topRightCorner(columns.rank(), p.size());
  substitute_back(columns.lower, w);
  double energy = 0.0;
  for (index i = 0; i < p.size(); ++i) {
    const double most = norm[i] * columns.certificate.left_of(left[i], column(w, i), p[i]);
    energy += most * most;
  }
  return problem.in_units_of_target(std::sqrt(energy));
}

/// Improves the solution of a regression in double-double, until its residual energy is certain to `allowed`.
inline void refine(const pair_moments& m, const row_source& data, const qr_columns& columns, double allowed,
                   regression& fit) {
  refinement refined(m, data, fit.solution);
  for (int step = 0; step < 3; ++step) {
    const auto [found, rounding] = refined.improve(columns.lower);
    const double error = columns.certificate.of_refinement(found, rounding);
    if (error < fit.residual_error) fit.residual_energy = found.left(), fit.residual_error = error;
    if (error <= allowed) break;
  }
  fit.solution.a = refined.map().solution();
}

/// Solves from the data. Directions below gamma' of the largest are the factorization's own rounding, and are
/// left out. A residual energy not certain to `allowed` is refined.
inline regression solve_orthogonal(const scaled_problem& problem, const row_source& data, double allowed) {
  const pair_moments& m = problem.moments();
  const index d = problem.size();
  block_qr qr(d, m.y_dimensions());
  qr.add_all(data.size(), [&](index first, auto x, auto t) { read_scaled(problem, data, first, x, t); });
  const pivoted_qr pivoted(qr.triangle().leftCols(d), m.rank_limit(), rank_cutoff(problem));
  matrix z = qr.triangle().rightCols(m.y_dimensions());
  pivoted.apply(z);
  const qr_columns columns = certain_columns(problem, pivoted);
  const index rank = columns.rank();
  matrix a = z.topRows(rank);
  substitute_back(columns.lower, a);

  regression out{.method = solver::orthogonal, .target = m.target, .rank = rank};
  out.condition = columns.range.condition();
  if (rank < d) {
    const Eigen::VectorXd left = pivoted.left_below(rank);
    out.discarded_energy = left.sum() / static_cast<double>(d);
    if (rank < m.rank_limit()) out.left_out = norm_left_of_x(problem, pivoted, columns, left);
  }
  const Eigen::VectorXd residual = qr.left() + column_energies(z, rank);
  const bool is_certain = columns.certificate.holds();
  out.residual_energy = residual.sum();
  out.residual_error = is_certain ? columns.certificate.of_solution(a, residual) : m.target_stats().energy.sum();
  out.solution = problem.solution(std::move(a), columns.kept);
  if (is_certain && rank < m.degrees_of_freedom() && !(out.residual_error <= allowed))
    refine(m, data, columns, allowed, out);
  return out;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
