// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_source.hpp>
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
#include <optional>
#include <utility>

namespace layerwise::inline LAYERWISE_ABI::detail {

/// Empty if the factorization breaks down or the certificate does not hold. A residual energy not certain to
/// `allowed` is corrected, if there is data.
inline std::optional<regression> solve_cholesky(const scaled_problem& problem, const row_source* data, double allowed,
                                                bool with_solution) {
  matrix factor = problem.gram(), a = problem.right_side();
  if (!cholesky_in_place(factor, a)) return std::nullopt;
  const eigenvalue_range range = eigenvalues_of_gram(factor);
  const indices kept = first_indices(problem.size());
  const moment_certificate certificate(problem, kept, range.smallest);
  if (!certificate.holds()) return std::nullopt;

  regression out{.method = solver::cholesky, .target = problem.moments().target};
  out.rank = problem.size();
  out.condition = range.condition();
  const Eigen::VectorXd explained = column_energies(a);
  out.residual_energy = energy_left(problem.moments().target_stats().energy, explained);
  out.residual_error = certificate.of_energies(explained);
  // The solution takes as long as all of the above: d^3 flops.
  if (out.residual_error <= allowed && !with_solution) return out;
  substitute_back(factor, a);
  out.residual_error = (std::min)(out.residual_error, certificate.of_moments(a));
  if (data != nullptr && !(out.residual_error <= allowed)) {
    const residual_projection found = project_residual(problem, factor, *data, a);
    out.residual_energy = found.left();
    out.residual_error = certificate.of_residual(a, found);
    a += found.step;
  }
  out.solution = problem.solution(std::move(a), kept);
  return out;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
