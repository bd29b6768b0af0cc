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
#include <layerwise/statistics/cross_moments.hpp>
#include <layerwise/statistics/scatter.hpp>

#include <algorithm>

/// @file
/// Representational similarity analysis of two layers, or of two models on the same tokens.
namespace layerwise::inline LAYERWISE_ABI {

/// A representational similarity, and how far rounding can have moved it.
struct rsa_result {
  double score = 0.0;        ///< in [-1, 1]
  double error_bound = 0.0;  ///< |score - exact score of the given data| is at most this
  index tokens = 0;          ///< that took part
  index x_dimensions = 0;    ///< d_x
  index y_dimensions = 0;    ///< d_y
};

/// The fields of a representational similarity.
template <>
inline constexpr auto fields<rsa_result> =
    field_list(field{"score", &rsa_result::score, "correlation of the squared distances of all pairs of tokens"},
               field{"error_bound", &rsa_result::error_bound, "how far rounding can have moved the score"},
               field{"tokens", &rsa_result::tokens, "that took part"},
               field{"x_dimensions", &rsa_result::x_dimensions, "columns of X"},
               field{"y_dimensions", &rsa_result::y_dimensions, "columns of Y"});

namespace detail {

/// The covariance of the squared distances of all ordered pairs of different rows, times their number n (n - 1): of
/// ||x_i - x_j||^2 = a_i + a_j - 2 x_i.x_j it is 2 n P + 4 F - A B (2 n + 2) / (n - 1), since centred rows sum to 0.
inline bounded covariance_of_distances(const row_energies& of, double n) {
  const bounded products = of.products * bounded{2.0 * n, 0.0}, squares = of.squares * bounded{4.0, 0.0};
  return products + squares - of.totals * bounded{2.0 * n + 2.0, 0.0} / bounded{n - 1.0, 0.0};
}

}  // namespace detail

/// Representational similarity analysis (Kriegeskorte et al. 2008): Pearson's correlation of the squared Euclidean
/// distances ||x_i - x_j||^2 and ||y_i - y_j||^2 of all pairs of tokens i < j, of second moments about the means and
/// sums of the rows' energies: exact, without the n x n matrices.
///
/// In [-1, 1]: 1 where Y is X up to rotation and scale.
///
/// Throws option_error for moments without y^T y or not centred; degenerate_input_error for fewer than 3 tokens, and
/// where X or Y has no variance or all its rows are equally far from each other. Costs O(d^2).
inline rsa_result rsa(const scatter& s) {
  const detail::pair_energies of(s, 3, "representational_similarity");
  const double n = static_cast<double>(s.tokens);
  const detail::bounded score =
      detail::correlation_of(detail::covariance_of_distances(of.xy, n), detail::covariance_of_distances(of.xx, n),
                             detail::covariance_of_distances(of.yy, n), "a variance of distances");
  const double value = std::clamp(score.value, -1.0, 1.0);
  return {value, score.error, s.tokens, s.x_dimensions(), s.y_dimensions()};
}

/// rsa() of accumulated moments, cross_moments(second_moments::both). Throws degenerate_input_error for no tokens, too.
inline rsa_result rsa(const cross_moments& moments) { return rsa(moments.scatter()); }

/// rsa() of matrices: x: n_tokens x d_x, y: n_tokens x d_y, of any scalar types and layouts; mask: the tokens that take
/// part. Does not change under rotations of X or of Y, scaling, translation, or the order of the rows. Throws as
/// cross_moments::add. Costs 4 n d^2 flops.
template <embedding_matrix X, embedding_matrix Y>
rsa_result rsa(const X& x, const Y& y, const token_mask& mask = {}) {
  return rsa(detail::moments_of_both(x, y, mask));
}

/// rsa(x, y, mask).score
template <embedding_matrix X, embedding_matrix Y>
double representational_similarity(const X& x, const Y& y, const token_mask& mask = {}) {
  return rsa(x, y, mask).score;
}

/// rsa(moments).score
inline double representational_similarity(const cross_moments& moments) { return rsa(moments).score; }

}  // namespace layerwise::inline LAYERWISE_ABI
