// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>

#include <Eigen/Core>

#include <numeric>

// Lists of columns.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Which columns, in which order.
using indices = Eigen::Matrix<index, Eigen::Dynamic, 1>;

/// 0, ..., count - 1
inline indices first_indices(index count) {
  indices all(count);
  std::iota(all.data(), all.data() + count, index{0});
  return all;
}

/// v[which[0]], v[which[1]], ...
template <class Vector>
Vector select(const Vector& v, const indices& which) {
  Vector out(which.size());
  for (index i = 0; i < which.size(); ++i) out[i] = v[which[i]];
  return out;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
