// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_pairs.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/lanes.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/metrics/detail/row_angle.hpp>
#include <layerwise/statistics/detail/accumulator.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

/// @file
/// ShortGPT's block influence: how much a layer turns the tokens' vectors.
namespace layerwise::inline LAYERWISE_ABI {

/// BI = 1 - mean_t cos(x_t, y_t), ShortGPT's block influence (Men et al. 2024, arXiv 2403.03853): twice the mean of
/// displacement(). The layers where it is least are pruned first.
///
/// before, after: n_tokens x d; mask: the tokens that take part. Returns a value in [0, 2]: 0 for equal directions, 1
/// for orthogonal, 2 for opposite ones; small ones are right, too, where 1 - cos is all rounding. Throws shape_error
/// for different shapes or a mask of another length, degenerate_input_error for an empty matrix, no tokens or a row of
/// zeros, non_finite_error for NaN or infinity. Reads each element once.
template <embedding_matrix X, embedding_matrix Y>
double block_influence(const X& before, const Y& after, const token_mask& mask = {}) {
  const detail::row_reader<X> from(before);
  const detail::row_reader<Y> to(after);
  detail::require_equal_shape(detail::shape_of(from), detail::shape_of(to), {.operand = "after"});
  detail::require_not_empty(from, {.operand = "before"});
  const std::vector<index> tokens = mask.rows(from.rows());
  detail::require_tokens(static_cast<index>(tokens.size()), {.operand = "before"});
  const index n = static_cast<index>(tokens.size()), d = from.cols();
  std::vector<double> influence(tokens.size());
  detail::parallel_chunks(n, 64, [&](index first, index count) {
    detail::row_block rows(2, d + detail::lanes);
    double *const x = rows.data(), *const y = x + d + detail::lanes;
    for (index i = first; i < first + count; ++i) {
      const index row = detail::at(tokens, i), next = detail::at(tokens, (std::min)(i + 1, n - 1));
      const double squares = detail::read_row(from, row, next, nullptr, x).squares;
      const detail::row_sums sums = detail::read_row(to, row, next, x, y);
      detail::at(influence, i) =
          2 * detail::measure_angle({x, squares, {.operand = "before", .row = row}},
                                    {y, sums.squares, {.operand = "after", .row = row}}, sums.step, d)
                  .displacement();
    }
  });
  double sum = 0.0;
  for (const double value : influence) sum += value;
  return sum / static_cast<double>(n);
}

}  // namespace layerwise::inline LAYERWISE_ABI
