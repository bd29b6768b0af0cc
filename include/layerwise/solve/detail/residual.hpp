// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/kernel/cholesky.hpp>
#include <layerwise/kernel/product.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/solve/detail/scaled_problem.hpp>
#include <layerwise/statistics/detail/columns.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <utility>

// The residual r = t - X a of a solution, taken from the data, judges and improves it. With a factor L of X^T X and P
// the projection onto the columns of X,
//     ||P r|| = ||L^-1 X^T r||,    f = ||r||^2 - ||P r||^2 (Pythagoras),    a + L^-T L^-1 X^T r is the next a.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// What is left of the energy of the columns of T; a column is not less than explained.
inline double energy_left(const Eigen::VectorXd& energy, const Eigen::VectorXd& explained) {
  double left = 0.0;
  for (index c = 0; c < energy.size(); ++c) left += (std::max)(0.0, energy[c] - explained[c]);
  return left;
}

/// What a pass over the data says of a solution a.
struct residual_projection {
  Eigen::VectorXd energy;     ///< of each column of the residual
  Eigen::VectorXd projected;  ///< what X explains of it
  matrix step;                ///< to be added to a, for X to explain no more

  /// gradient: X^T r
  residual_projection(const matrix& factor, Eigen::VectorXd energies, matrix gradient) : energy(std::move(energies)) {
    substitute_forward(factor, gradient);
    projected = column_energies(gradient);
    substitute_back(factor, gradient);
    step = std::move(gradient);
  }

  double left() const { return energy_left(energy, projected); }
};

/// How far rounding moved such a pass in double-double: the norms of each column.
struct refinement_rounding {
  Eigen::VectorXd residual, gradient;  ///< of r, and of X^T r for scaled columns of X
};

/// By a factor of the scaled X^T X, in double. 4 n d^2 flops.
inline residual_projection project_residual(const scaled_problem& problem, const matrix& factor, const row_source& data,
                                            const matrix& a) {
  const index n = data.size();
  packed_block packed_a, columns, tokens, packed_r;
  pack(a, packed_a);
  matrix gradient = matrix::Zero(a.rows(), a.cols()), x, r;
  Eigen::VectorXd energy = Eigen::VectorXd::Zero(a.cols());
  for (index done = 0; done < n; done += block_rows) {
    const index count = (std::min)(block_rows, n - done);
    x.resize(count, a.rows());
    r.resize(count, a.cols());
    read_scaled(problem, data, done, x, r);
    pack_transposed(x, tokens);
    add_products(-1.0, {{tokens, packed_a, r}});
    pack(x, columns);
    pack(r, packed_r);
    add_products(1.0, {{columns, packed_r, gradient}});
    energy += column_energies(r);
  }
  return {factor, std::move(energy), std::move(gradient)};
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
