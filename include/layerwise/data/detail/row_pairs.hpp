// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/row_sums.hpp>

#include <algorithm>

// The walk over the rows of two matrices side by side, which the metrics per token share.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Reads a row to `out` and sums it up, after the row `before` unless that is null: in one walk, where its
/// elements lie next to each other in memory. `next` is the reader's row to prefetch.
template <class Reader>
row_sums read_row(const Reader& reader, index row, index next, const double* before, double* out) {
  if constexpr (requires { reader.with_type([](const auto&) {}); })
    return reader.with_type([&](const auto& typed) { return read_row(typed, row, next, before, out); });
  else if constexpr (requires { reader.contiguous(row); })
    if (const auto* from = reader.contiguous(row))
      return sum_row(before, from, reader.cols(), out, reader.contiguous(next));
  reader.read(row, out);
  return sum_row(before, out, reader.cols());
}

/// A token's rows before and after a layer.
struct row_pair {
  index token, d;
  const double *before, *after;
  double before_squares;
  row_sums sums;  ///< of `after`
};

/// Reads two matrices of equal shape side by side and calls body(row_pair) for every token, in parallel over
/// chunks of tokens.
template <embedding_matrix X, embedding_matrix Y, class Body>
void for_each_row_pair(const row_reader<X>& before, const row_reader<Y>& after, const Body& body) {
  require_equal_shape(shape_of(before), shape_of(after), {.operand = "after"});
  require_not_empty(before, {.operand = "before"});
  const index d = before.cols();
  parallel_chunks(before.rows(), 64, [&](index first, index count) {
    // Not a multiple of 4096 bytes apart, which the processor takes for the same.
    row_block rows(2, d + lanes);
    double *x = &rows(0, 0), *y = &rows(1, 0);
    for (index token = first; token < first + count; ++token) {
      const index next = (std::min)(token + 2, before.rows() - 1);
      const double squares = read_row(before, token, next, nullptr, x).squares;
      body(row_pair{token, d, x, y, squares, read_row(after, token, next, x, y)});
    }
  });
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
