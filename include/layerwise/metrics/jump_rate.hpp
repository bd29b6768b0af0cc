// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/detail/arithmetic.hpp>
#include <layerwise/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <ranges>
#include <vector>

/// @file
/// Jump rates: how much the displacement rises towards the last layer.
namespace layerwise::inline LAYERWISE_ABI {

/// Psi_1 ... Psi_L, one displacement per layer: a std::vector, an Eigen vector, any other forward range of
/// numbers.
template <class R>
concept displacement_range =
    std::ranges::forward_range<const R> && std::convertible_to<std::ranges::range_reference_t<const R>, double>;

namespace detail {

/// The displacements, `least` layers at least. Throws as jump_rates().
template <displacement_range R>
std::vector<double> read_displacements(const R& displacements, std::size_t least) {
  require_ieee_arithmetic();
  constexpr double rounding = 1e-6;  // a mean taken in float32 may stick out of [0, 1] by that
  std::vector<double> psi;
  for (const auto& value : displacements) {
    psi.push_back(static_cast<double>(value));
    const place at{.operand = "displacements", .layer = static_cast<index>(psi.size())};
    if (!std::isfinite(psi.back())) fail<non_finite_error>("finite values", text(psi.back()), at);
    if (psi.back() < -rounding || psi.back() > 1 + rounding)
      fail<degenerate_input_error>("a displacement in [0, 1]", text(psi.back()), at);
  }
  if (psi.size() < least)
    fail<shape_error>(text("displacements of at least ", least, least == 1 ? " layer" : " layers"), text(psi.size()),
                      {.operand = "displacements"});
  return psi;
}

}  // namespace detail

/// zeta_l for every l = 2..L: element [l - 2] of the result is jump_rate(displacements, l), to the bit.
///
/// displacements: Psi_1 ... Psi_L, the layers' mean displacements. Throws as jump_rate(). Costs one pass.
template <displacement_range R = std::initializer_list<double>>
std::vector<double> jump_rates(const R& displacements) {
  const std::vector<double> psi = detail::read_displacements(displacements, 2);
  std::vector<double> rates(psi.size() - 1);
  double rise = 0;
  for (std::size_t k = psi.size() - 1; k > 0; --k) {
    rise += (std::max)(0., psi[k] - psi[k - 1]);
    rates[k - 1] = 100 * rise;
  }
  return rates;
}

/// The jump rate of arXiv 2601.18302: zeta_l = 100 * sum_{k=l}^{L} max(0, Psi_k - Psi_{k-1}), what the
/// displacement rises by, falls not counted, from layer l - 1 to the last one. zeta_L is the final jump,
/// zeta_2 the largest of all.
///
/// displacements: Psi_1 ... Psi_L, the layers' mean displacements, each in [0, 1]; l: 2..L, counted as the
/// layers are. Returns percentage points, >= 0; 0 where the displacement only falls. Throws shape_error for
/// fewer than 2 values and for l outside 2..L, non_finite_error for NaN or infinity, degenerate_input_error for a value
/// outside [0, 1] by more than rounding. Costs O(L).
template <displacement_range R = std::initializer_list<double>>
double jump_rate(const R& displacements, index l) {
  const std::vector<double> rates = jump_rates(displacements);
  const index layers = static_cast<index>(rates.size()) + 1;
  if (l < 2 || l > layers)
    detail::fail<shape_error>(detail::text("l in 2..", layers), detail::text(l), {.operand = "jump_rate"});
  return detail::at(rates, l - 2);
}

/// zeta_L, the final jump.
template <displacement_range R = std::initializer_list<double>>
double jump_rate(const R& displacements) {
  return jump_rates(displacements).back();
}

}  // namespace layerwise::inline LAYERWISE_ABI
