// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/normalize_row.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/metrics/detail/near_rows.hpp>
#include <layerwise/metrics/detail/nearest_two.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

/// @file
/// How many neighbours two layers, or two models, agree on.
namespace layerwise::inline LAYERWISE_ABI {

namespace detail {

/// How near a row is.
struct neighbour {
  index row;
  double distance;
};

/// Adds a row to the k nearest, nearest first; of equally near ones the first that was added stays first.
template <class Neighbours>
void add_neighbour(Neighbours& nearest, const neighbour& one, index k) {
  const bool full = static_cast<index>(nearest.size()) == k;
  if (full && !(one.distance < nearest.back().distance)) return;
  if (full) nearest.pop_back();
  nearest.push_back(one);
  for (std::size_t i = nearest.size() - 1; i > 0 && one.distance < nearest[i - 1].distance; --i)
    nearest[i] = nearest[i - 1], nearest[i - 1] = one;
}

/// All rows of a layer, each divided by its norm.
template <class Source>
row_block unit_rows(const Source& source, index layer, index d) {
  row_block rows(source.size(), d);
  parallel_chunks(source.size(), 64, [&](index first, index count) {
    for (index i = first; i < first + count; ++i) {
      double* const row = rows.data() + i * d;
      source.read(layer, i, row);
      unit_normalization().apply(row, d, source.place_of(layer, i));
    }
  });
  return rows;
}

/// The k nearest rows of rows first ... first + count - 1, themselves left out, ascending.
template <class Rows>
std::vector<std::vector<index>> neighbours_of(const Rows& candidates, index first, index count) {
  const index d = candidates.rows().cols();
  const auto row = [&](index i) { return candidates.rows().data() + i * d; };
  std::vector<std::vector<neighbour>> nearest(static_cast<std::size_t>(count));
  candidates.each(first, count, [&](index i, index j) {
    add_neighbour(at(nearest, i - first), {j, plain_squared_distance(row(i), row(j), d)}, candidates.k());
  });
  std::vector<std::vector<index>> found(nearest.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    for (const neighbour& one : nearest[i]) found[i].push_back(one.row);
    std::sort(found[i].begin(), found[i].end());
  }
  return found;
}

/// How many are in both; ascending.
inline index shared_count(const std::vector<index>& a, const std::vector<index>& b) {
  index count = 0;
  auto other = b.begin();
  for (const index row : a) {
    while (other != b.end() && *other < row) ++other;
    count += other != b.end() && *other == row ? 1 : 0;
  }
  return count;
}

/// mutual_knn() of layers 0 and 1.
template <class Source>
double shared_neighbours(const Source& pair, index d_x, index d_y, index k) {
  const index n = pair.size();
  if (n < 2) fail<degenerate_input_error>("at least 2 tokens", text(n), {.operand = "X"});
  if (k < 1 || k >= n) fail<option_error>(text("k in 1..", n - 1), text(k), {.operand = "mutual_knn"});
  const row_block x = unit_rows(pair, 0, d_x), y = unit_rows(pair, 1, d_y);
  const near_rows to_x(x, k), to_y(y, k);
  std::vector<index> shared(static_cast<std::size_t>((n + rows_together - 1) / rows_together), 0);
  parallel_chunks(n, rows_together, [&](index first, index count) {
    const auto of_x = neighbours_of(to_x, first, count), of_y = neighbours_of(to_y, first, count);
    for (std::size_t i = 0; i < of_x.size(); ++i) at(shared, first / rows_together) += shared_count(of_x[i], of_y[i]);
  });
  index sum = 0;
  for (const index count : shared) sum += count;
  return static_cast<double>(sum) / (static_cast<double>(n) * static_cast<double>(k));
}

}  // namespace detail

/// Mutual k-nearest-neighbour alignment, of the Platonic Representation Hypothesis (Huh et al. 2024, arXiv 2405.07987):
///
///     m = mean_i |N_X(i) n N_Y(i)| / k
///
/// with N_X(i) the k rows of X whose inner product with row i is largest, rows divided by their norms, row i left out.
/// Of equally near rows, as repeated tokens are, those of lower index are taken, so that the value is always the same.
///
/// x: n_tokens x d_x, y: n_tokens x d_y, of the same tokens (the paper takes one pooled vector for each input); mask:
/// the tokens that take part. Returns a share, in [0, 1]: 1 for the same neighbours, k / (n - 1) on average for
/// independent rows. Does not change under rotations and factors of X or of Y; translations change it. Nearness is told
/// by ||u - v||^2 = 2 - 2 <u, v> of the unit vectors u and v, taken of their differences: rows of almost one direction,
/// as hidden states may be, keep an order where inner products near 1 have none.
///
/// Throws option_error unless 1 <= k < n; shape_error for different numbers of rows or a mask of another length;
/// degenerate_input_error for an empty matrix, fewer than 2 tokens, a row of zeros; non_finite_error for NaN or
/// infinity. Costs 2 n^2 (d_x + d_y) flops, up to 5 where rows are of almost one direction, and memory for both twice,
/// in double.
template <embedding_matrix X, embedding_matrix Y>
double mutual_knn(const X& x, const Y& y, index k = 10, const token_mask& mask = {}) {
  const detail::row_reader<X> of_x(x);
  const detail::row_reader<Y> of_y(y);
  detail::require_pair(of_x, of_y, detail::pair_names);
  const std::vector<index> tokens = mask.rows(of_x.rows());
  return detail::shared_neighbours(detail::pair_source(of_x, of_y, tokens, detail::pair_names), of_x.cols(),
                                   of_y.cols(), k);
}

}  // namespace layerwise::inline LAYERWISE_ABI
