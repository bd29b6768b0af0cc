// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/metrics/jump_rate.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <vector>

/// @file
/// Collapse indices: how much less, or more, a layer turns the hidden states than independent updates would.
namespace layerwise::inline LAYERWISE_ABI {

/// 4 l Psi_l for every layer l = 1..L, element [l - 1] of the result.
///
/// Where h_l is a sum of l + 1 independent terms of equal norm, as in a Pre-LN stack at its start, the cosine of h_{l-1}
/// and h_l is about sqrt(l / (l + 1)), and so the displacement Psi_l about 1 / (4 l) (Xiong et al. 2020,
/// arXiv 2002.04745, for the growth of the norms). 1 says that a layer turns its input by as much; below 1 the layers'
/// outputs collapse into one direction (Liu et al. 2023, arXiv 2304.14802), above 1 the layer's update is larger than
/// those before it, or against them. For early layers the null is rough: exactly, 2 l (1 - sqrt(l / (l + 1))) is
/// 0.59 at l = 1, 0.87 at l = 5 and 0.98 at l = 40.
///
/// displacements: Psi_1 ... Psi_L, the layers' mean displacements, each in [0, 1]. Returns numbers >= 0. Throws as
/// jump_rates(), but takes a single layer. Costs one pass.
template <displacement_range R = std::initializer_list<double>>
std::vector<double> collapse_indices(const R& displacements) {
  std::vector<double> indices = detail::read_displacements(displacements, 1);
  for (std::size_t k = 0; k < indices.size(); ++k)
    indices[k] = 4.0 * static_cast<double>(k + 1) * (std::max)(0.0, indices[k]);
  return indices;
}

}  // namespace layerwise::inline LAYERWISE_ABI
