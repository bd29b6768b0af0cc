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
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/metrics/detail/row_angle.hpp>
#include <layerwise/statistics/detail/accumulator.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

/// @file
/// How much the path of a sequence's tokens bends.
namespace layerwise::inline LAYERWISE_ABI {

namespace detail {

/// v = to - from, and what measure_angle() takes of it: where that overflows, half of it, whose direction is the same.
/// Throws non_finite_error, and degenerate_input_error for equal rows.
template <class T>
measured_row difference_of(const T* from, const T* to, double* v, index d, const place& from_at, const place& to_at) {
  for (index j = 0; j < d; ++j) v[j] = to[j] - from[j];
  const double squares = sum_of_squares(v, d);
  if (in_safe_range(squares)) return {v, squares, to_at};
  fail_non_finite(from, d, from_at);
  fail_non_finite(to, d, to_at);
  if (std::all_of(v, v + d, [](double entry) { return entry == 0.0; }))
    fail<degenerate_input_error>("a row that differs from the one before", "the same row again", to_at);
  if (std::isnan(peak_of(v, d)))
    for (index j = 0; j < d; ++j) v[j] = to[j] / 2 - from[j] / 2;
  return {v, sum_of_squares(v, d), to_at};
}

/// The angle at each of the rows `middles` (counted as those of x are): between the step to it and the step from it.
template <class Source>
std::vector<double> turning_angles(const Source& x, const std::vector<index>& middles, index d) {
  std::vector<double> angles(middles.size());
  parallel_chunks(static_cast<index>(middles.size()), 64, [&](index first, index count) {
    row_block block(4, d + lanes);
    const auto row = [&](index which) { return block.data() + which * (d + lanes); };
    double *here = row(0), *next = row(1), *before = row(2), *after = row(3);
    measured_row to{}, from{};
    index done = -1;  // the row up to which the steps are known
    for (index k = first; k < first + count; ++k) {
      const index i = at(middles, k);
      if (done != i) {
        x.read(0, i - 1, next);
        x.read(0, i, here);
        to = difference_of(next, here, before, d, x.place_of(0, i - 1), x.place_of(0, i));
      }
      x.read(0, i + 1, next);
      from = difference_of(here, next, after, d, x.place_of(0, i), x.place_of(0, i + 1));
      angles[static_cast<std::size_t>(k)] =
          measure_angle(to, from, sum_row(to.values, from.values, d).step, d).radians();
      std::swap(here, next);
      std::swap(before, after);
      to = from, done = i + 1;
    }
  });
  return angles;
}

/// Where sequences of kept tokens turn: their inner tokens, and how many each sequence has.
struct turning_points {
  std::vector<index> middles, counts;
};

inline turning_points turning_points_of(const std::vector<index>& tokens, index sequence_length) {
  turning_points points;
  const index kept = static_cast<index>(tokens.size());
  for (index first = 0, end = 0; first < kept; first = end) {
    const index sequence = at(tokens, first) / sequence_length;
    for (end = first + 1; end < kept && at(tokens, end) / sequence_length == sequence; ++end)
      if (at(tokens, end) != at(tokens, end - 1) + 1)
        fail<degenerate_input_error>("tokens of a sequence one after the other",
                                     text("row ", at(tokens, end), " after row ", at(tokens, end - 1)),
                                     {.operand = "curvature"});
    if (end - first < 3)
      fail<degenerate_input_error>("sequences of at least 3 tokens", text(end - first),
                                   {.operand = "curvature", .row = at(tokens, first)});
    for (index i = first + 1; i + 1 < end; ++i) points.middles.push_back(i);
    points.counts.push_back(end - first - 2);
  }
  return points;
}

/// The mean over sequences of the mean over their angles.
inline double mean_of_means(const std::vector<double>& angles, const std::vector<index>& counts) {
  double sum = 0.0;
  auto angle = angles.begin();
  for (const index count : counts) {
    double of_sequence = 0.0;
    for (index i = 0; i < count; ++i) of_sequence += *angle++;
    sum += of_sequence / static_cast<double>(count);
  }
  return sum / static_cast<double>(counts.size());
}

}  // namespace detail

/// The curvature of a layer (Hosseini and Fedorenko 2023, arXiv 2311.04930): how much the path of a sequence's tokens
/// z_1 ... z_T through the hidden space bends, as the mean angle between successive steps,
///
///     C = 1 / (T - 2) sum_k arccos(<v_k, v_(k+1)> / (||v_k|| ||v_(k+1)||)),  v_k = z_(k+1) - z_k
///
/// and of that the mean over sequences.
///
/// x: n_tokens x d, sequences of sequence_length rows one after the other (the last one may be shorter). mask: the
/// tokens that take part; those of a sequence must follow one another, as they do where padding or the first tokens
/// are left out; a sequence of which nothing is kept is left out. Returns radians, in [0, pi]: 0 for a straight path,
/// pi for one to and fro; independent rows give about 2 pi / 3. Does not change under rotation, translation, or one
/// factor. Angles come by half angles, and so right near 0 and pi.
///
/// Throws shape_error for sequence_length < 3 or a mask of another length; degenerate_input_error for an empty matrix,
/// no tokens, a sequence of 1 or 2 tokens, and a row equal to the one before it, where there is no step;
/// non_finite_error for NaN or infinity. Costs O(n d), reads rows once, some twice.
template <embedding_matrix X>
double curvature(const X& x, index sequence_length, const token_mask& mask = {}) {
  if (sequence_length < 3)
    detail::fail<shape_error>("sequence_length >= 3", detail::text(sequence_length), {.operand = "curvature"});
  const detail::row_reader<X> reader(x);
  detail::require_not_empty(reader, {.operand = "X"});
  const std::vector<index> tokens = mask.rows(reader.rows());
  detail::require_tokens(static_cast<index>(tokens.size()), {.operand = "X"});
  const detail::turning_points points = detail::turning_points_of(tokens, sequence_length);
  return detail::mean_of_means(
      detail::turning_angles(detail::layer_source(reader, tokens), points.middles, reader.cols()), points.counts);
}

}  // namespace layerwise::inline LAYERWISE_ABI
