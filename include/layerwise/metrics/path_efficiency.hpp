// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/lanes.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/row_sums.hpp>
#include <layerwise/metrics/detail/row_angle.hpp>
#include <layerwise/statistics/detail/accumulator.hpp>

#include <algorithm>
#include <concepts>
#include <utility>
#include <vector>

/// @file
/// How straight the way is that layers turn the tokens' vectors.
namespace layerwise::inline LAYERWISE_ABI {

namespace detail {

/// Of row i of a stack, with `rows` to read into: three rows of d + lanes.
inline double path_efficiency_of(const row_source& stack, index i, index layers, index d, row_block& rows) {
  const auto read = [&](index l, double* out) {
    stack.read(l, i, out);
    return measured_row{out, sum_of_squares(out, d), stack.place_of(l, i)};
  };
  const index stride = rows.cols();
  double *free = rows.data() + stride, *next = free + stride;
  const measured_row start = read(0, rows.data());
  measured_row last = start;
  double way = 0.0;
  for (index l = 1; l < layers; ++l) {
    const measured_row here = read(l, free);
    way += measure_angle(last, here, d).radians();
    last = here;
    std::swap(free, next);
  }
  if (way == 0.0) {
    place at = stack.place_of(0, i);
    at.layer = -1;
    fail<degenerate_input_error>("a row that some layer turns", "one direction in all layers", at);
  }
  return (std::min)(1.0, measure_angle(start, last, d).radians() / way);
}

template <std::same_as<row_source> Source>
double mean_path_efficiency(const Source& stack, index layers, index d) {
  const index n = stack.size();
  std::vector<double> efficiencies(static_cast<std::size_t>(n));
  parallel_chunks(n, 64, [&](index first, index count) {
    row_block rows(3, d + lanes);
    for (index i = first; i < first + count; ++i) at(efficiencies, i) = path_efficiency_of(stack, i, layers, d, rows);
  });
  double sum = 0.0;
  for (const double one : efficiencies) sum += one;
  return sum / static_cast<double>(n);
}

}  // namespace detail

/// Path efficiency: how much of the angle by which the layers turn a token's vector is left in the end, the mean over
/// tokens of
///
///     angle(h_0, h_L) / (theta_1 + ... + theta_L),  theta_l = angle(h_{l-1}, h_l)
///
/// on the sphere that nGPT (arXiv 2410.01131) has the hidden states walk on. In [0, 1]: 1 where every layer turns the
/// vector the same way, along a great circle and by pi at most in all, 0 where it comes back to where it was; L equal
/// turns in independent directions leave about 1 / sqrt(L) of them, while all are small.
///
/// states: h_0 ... h_L, n_tokens x d each, L >= 1 (1 gives 1); mask: the tokens that take part. Angles come by half
/// angles, as those of angular_distance(). Throws shape_error for fewer than 2 layers, layers of unequal shapes, a mask
/// of another length; degenerate_input_error for empty matrices, no tokens, a row of zeros, and a token that no layer
/// turns at all, which has no path; non_finite_error for NaN or infinity, with layer, row and column. Costs 3 (L + 1) d
/// flops a token, and memory for three rows.
template <hidden_states H>
double path_efficiency(const H& states, const token_mask& mask = {}) {
  const auto readers = detail::open_layers(states);
  const std::vector<index> tokens = mask.rows(readers.front().rows());
  detail::require_tokens(static_cast<index>(tokens.size()), {.operand = "hidden_states"});
  return detail::mean_path_efficiency(detail::stack_source(readers, tokens), static_cast<index>(readers.size()),
                                      readers.front().cols());
}

}  // namespace layerwise::inline LAYERWISE_ABI
