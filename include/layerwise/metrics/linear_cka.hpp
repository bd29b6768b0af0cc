// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/bounded.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/metrics/detail/pair_scatter.hpp>
#include <layerwise/statistics/cross_moments.hpp>
#include <layerwise/statistics/scatter.hpp>

#include <Eigen/Core>

#include <cmath>
#include <limits>

/// @file
/// Linear centered kernel alignment of two layers, or of two models on the same tokens.
namespace layerwise::inline LAYERWISE_ABI {

/// A linear CKA, and how far rounding can have moved it.
struct cka_result {
  double score = 0.0;        ///< in [0, 1]
  double error_bound = 0.0;  ///< |score - exact score of the given data| is at most this
  index tokens = 0;          ///< that took part
  index x_dimensions = 0;    ///< d_x
  index y_dimensions = 0;    ///< d_y
};

/// The fields of a CKA.
template <>
inline constexpr auto fields<cka_result> =
    field_list(field{"score", &cka_result::score, "linear CKA"},
               field{"error_bound", &cka_result::error_bound, "how far rounding can have moved the score"},
               field{"tokens", &cka_result::tokens, "that took part"},
               field{"x_dimensions", &cka_result::x_dimensions, "columns of X"},
               field{"y_dimensions", &cka_result::y_dimensions, "columns of Y"});

namespace detail {

/// ||factor * sums||_F, of sums that are off by `error` in that norm. No factor but a power of two.
inline bounded norm_of(const matrix& sums, double error, double factor) {
  const double norm = std::sqrt(scaled_energy(sums, factor)),
               terms = static_cast<double>(sums.rows() + sums.cols()) + 2.0;
  return {norm, factor * error + 0.5 * terms * std::numeric_limits<double>::epsilon() * norm};
}

/// cka(); messages say `names`.
inline cka_result cka_of(const scatter& s, const operand_names& names) {
  require_both(s, "linear_cka");
  require_centred(s, "linear_cka");
  const double x = root_scale(s.xx, names.x), y = root_scale(s.yy, names.y);
  const bounded xx = norm_of(s.xx, s.rounding.of_xx(), x * x);
  const bounded xy = norm_of(s.xy, s.rounding.of_xy(), x * y);
  const bounded yy = norm_of(s.yy, s.rounding.of_yy(), y * y);
  const bounded score = kept_within(xy / xx * (xy / yy), 0.0, 1.0);  // 0 where nothing is known
  return {score.value, score.error, s.tokens, s.x_dimensions(), s.y_dimensions()};
}

}  // namespace detail

/// Linear CKA of second moments about the means (Kornblith et al. 2019, arXiv 1905.00414), the RV coefficient:
///
///     CKA = ||X^T Y||_F^2 / (||X^T X||_F ||Y^T Y||_F),  X, Y with their columns centred
///
/// In [0, 1]: 1 where Y is X up to rotation and scale. Biased: independent data scores above 0, the more the fewer the
/// tokens are beside the dimensions (n = 64, d = 512: 0.9), and below n of about d it means nothing.
///
/// Throws option_error for moments without y^T y or not centred, degenerate_input_error where X or Y has no variance.
/// Costs O(d^2).
inline cka_result cka(const scatter& s) { return detail::cka_of(s, detail::pair_names); }

/// cka() of accumulated moments, cross_moments(second_moments::both). Throws degenerate_input_error for no tokens, too.
inline cka_result cka(const cross_moments& moments) { return cka(moments.scatter()); }

/// cka() of matrices: x: n_tokens x d_x, y: n_tokens x d_y, of any scalar types and layouts; mask: the tokens that take
/// part. Does not change under rotations of X or of Y, scaling, translation, or the order of the rows. Throws as
/// cross_moments::add. Costs 4 n d^2 flops.
template <embedding_matrix X, embedding_matrix Y>
cka_result cka(const X& x, const Y& y, const token_mask& mask = {}) {
  return cka(detail::moments_of_both(x, y, mask));
}

/// cka(x, y, mask).score
template <embedding_matrix X, embedding_matrix Y>
double linear_cka(const X& x, const Y& y, const token_mask& mask = {}) {
  return cka(x, y, mask).score;
}

/// cka(moments).score
inline double linear_cka(const cross_moments& moments) { return cka(moments).score; }

}  // namespace layerwise::inline LAYERWISE_ABI
