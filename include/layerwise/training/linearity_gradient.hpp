// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/metrics/linearity.hpp>
#include <layerwise/solve/linearity_options.hpp>
#include <layerwise/training/detail/score_gradient.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>

/// @file
/// The linearity score as something to train with: its gradients with respect to both layers, from the
/// solution of the least-squares problem itself.
namespace layerwise::inline LAYERWISE_ABI {

/// What a gradient is added to: a writable embedding matrix, or nullptr where it is not asked for (to stop
/// the gradient on one side).
template <class G>
concept gradient_or_none =
    std::same_as<std::remove_cvref_t<G>, std::nullptr_t> || writable_embedding_matrix<std::remove_reference_t<G>>;

/// linearity(), and its gradients: factor * ds/dX is added to gradient_x, factor * ds/dY to gradient_y.
///
///     ds/dX = 2/E R A^T,  ds/dY = 2/E ((1 - s) Y - R),  E = ||Y||_F^2, R = Y - X A
///
/// with X and Y centred and A the solution of the least-squares problem, whose own change does not count at
/// the minimum.
///
/// gradient_x: n_tokens x d_x, gradient_y: n_tokens x d_y, of any scalar type, computed in double and rounded
/// once; or nullptr. They must not overlap x and y. Rows that the mask leaves out are not touched.
///
/// The error of each is at most 1e-10 of its norm, or 1e-15 times X's condition (linearity_result::condition)
/// where that is more, however small the residual is and however large the offsets of X and Y are: where
/// double is not enough for that, the residual and the energies are taken from the data in double-double. (It
/// counts from ||R|| ||A|| where sums over Y's columns cancel in R A^T.) They are orthogonal to the ones and
/// (each to its own matrix) to X and Y, as the score does not change under translation and scaling. A
/// constant column of X gets 0. Where columns are dependent A is not unique, and the score has no gradient
/// with respect to X: this is the formula for one of the solutions. Where there are not more tokens than
/// dimensions any Y scores 1, and both gradients are 0.
///
/// Errors as linearity(); shape_error for a gradient of another shape, non_finite_error for a factor that is
/// not finite and for a gradient beyond the range of double. Nothing has been added then. Costs linearity()
/// and another pass over the data, 4 n d^2 flops; from conditions of about 1e2 on one or two more, and from
/// 1e6 on a factorization; in double-double, for residuals below about 1e-4 of Y (at d = 1000) or offsets
/// beyond 1e5 of the spread, two or three passes of 40 n d^2 flops.
template <embedding_matrix X, embedding_matrix Y, gradient_or_none GradientX, gradient_or_none GradientY>
linearity_result linearity_and_gradient(const X& x, const Y& y, GradientX&& gradient_x, GradientY&& gradient_y,
                                        double factor = 1.0, const linearity_options& options = {},
                                        const token_mask& mask = {}) {
  return detail::score_and_gradient(
      x, y, gradient_x, gradient_y,
      {{options, detail::regression_target::output, detail::pair_names, true}, mask, factor});
}

/// residual_linearity(), and its gradients: factor * ds/d(before) is added to gradient_before, factor *
/// ds/d(after) to gradient_after.
///
///     ds/dX = 2/E (R A^T - (1 - s) D),  ds/dY = 2/E ((1 - s) D - R),  D = Y - X, E = ||D||_F^2, R = Y - X A
///
/// Everything else as linearity_and_gradient().
template <embedding_matrix Before, embedding_matrix After, gradient_or_none GradientBefore,
          gradient_or_none GradientAfter>
linearity_result residual_linearity_and_gradient(const Before& before, const After& after,
                                                 GradientBefore&& gradient_before, GradientAfter&& gradient_after,
                                                 double factor = 1.0, const linearity_options& options = {},
                                                 const token_mask& mask = {}) {
  return detail::score_and_gradient(
      before, after, gradient_before, gradient_after,
      {{options, detail::regression_target::update, detail::residual_names, true}, mask, factor});
}

}  // namespace layerwise::inline LAYERWISE_ABI
