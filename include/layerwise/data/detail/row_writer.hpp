// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/any_view.hpp>
#include <layerwise/kernel/lanes.hpp>

#include <algorithm>
#include <variant>

// How gradients get from double into a matrix of any type.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Adds values to row `token`, rounded once to m's scalar type. Block by block they are values(at), where
/// at(row) is the block of a row, which must be readable up to the end of its last block: so they do not
/// depend on how m lies in memory. Prefetches the row `next`.
template <class T, class Values>
[[gnu::flatten, gnu::noinline]] void add_to_row(const strided_view<T>& m, index token, index next, Values values) {
  T* to = m.data() + token * m.row_stride();
  const T* later = m.data() + next * m.row_stride();
  const index cols = m.cols(), stride = m.col_stride();
  for (index j = 0; j < cols; j += lanes) {
    const auto at = [j](const double* row) { return lane_block::Map(row + j); };
    const index count = (std::min)(lanes, cols - j);
    if (stride == 1 && count == lanes) {
      prefetch(later + j);
      store_lanes(load_lanes(to + j) + values(at), to + j);
      continue;
    }
    lane_block sum = lane_block::Zero();
    for (index k = 0; k < count; ++k) sum[k] = to_double(to[(j + k) * stride]);
    sum += values(at);
    for (index k = 0; k < count; ++k) to[(j + k) * stride] = static_cast<T>(sum[k]);
  }
}
template <class... Ts, class Values>
void add_to_row(const std::variant<strided_view<Ts>...>& m, index token, index next, const Values& values) {
  std::visit([&](const auto& typed) { add_to_row(typed, token, next, values); }, m);
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
