// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/bounded.hpp>
#include <layerwise/metrics/detail/pair_scatter.hpp>
#include <layerwise/metrics/detail/row_energies.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/layer_moments.hpp>
#include <layerwise/statistics/scatter.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>

/// @file
/// How far the tokens of a layer are from being all the same.
namespace layerwise::inline LAYERWISE_ABI {

/// A residual of rank collapse, and how far rounding can have moved it.
struct rank_collapse_result {
  double residual = 0.0;     ///< in [0, 1]
  double error_bound = 0.0;  ///< |residual - exact residual of the given data| is at most this
  index tokens = 0;          ///< that took part
  index dimensions = 0;      ///< d
};

/// The fields of a rank collapse.
template <>
inline constexpr auto fields<rank_collapse_result> = field_list(
    field{"residual", &rank_collapse_result::residual, "share of the norm that tokens do not have in common"},
    field{"error_bound", &rank_collapse_result::error_bound, "how far rounding can have moved it"},
    field{"tokens", &rank_collapse_result::tokens, "that took part"},
    field{"dimensions", &rank_collapse_result::dimensions, "columns of X"});

/// The residual of rank collapse: what is left of X when all tokens' rows are replaced by their mean,
///
///     ||X - 1 x^T||_F / ||X||_F = sqrt(tr S_xx / tr M_xx),  x the mean row, M the second moments about 0
///
/// In [0, 1]: 0 where all rows are equal (rank 1, collapsed), 1 where their mean is 0; it falls doubly exponentially
/// with depth where attention has neither skip connections nor MLPs (Dong et al. 2021, arXiv 2103.03404, who take the
/// composite norm sqrt(||.||_1 ||.||_inf) where this takes Frobenius's, which moments tell). Throws
/// degenerate_input_error for no tokens and for zeros alone. Costs O(d^2).
template <std::same_as<layer_moments> Moments>
rank_collapse_result rank_collapse(const Moments& moments) {
  const scatter about_mean = moments.scatter(), about_zero = moments.scatter(centering::none);
  const double factor = detail::root_scale(about_zero.xx, "X", centering::none);
  const auto energy = [&](const scatter& s) { return detail::trace_of(s.xx, s.rounding.of_xx(), factor * factor); };
  const detail::bounded share = detail::kept_within(energy(about_mean) / energy(about_zero), 0.0, 1.0);
  const double root = std::sqrt(share.value);
  // |sqrt a - sqrt b| <= sqrt |a - b|, too
  const double at_zero = std::sqrt(share.error);
  const double error = root > 0.0 ? (std::min)(share.error / root, at_zero) + detail::unit_roundoff : at_zero;
  const detail::bounded kept = detail::kept_within({root, error}, 0.0, 1.0);
  return {kept.value, kept.error, about_mean.tokens, about_mean.x_dimensions()};
}

/// rank_collapse() of a matrix: x: n_tokens x d, of any scalar type and layout; mask: the tokens that take part. Does
/// not change under rotations, scaling, or the order of the rows. Throws as layer_moments::add. Costs n d^2 flops.
template <embedding_matrix X>
rank_collapse_result rank_collapse(const X& x, const token_mask& mask = {}) {
  layer_moments moments;
  moments.add(x, mask);
  return rank_collapse(moments);
}

}  // namespace layerwise::inline LAYERWISE_ABI
