// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/bounded.hpp>
#include <layerwise/kernel/cholesky.hpp>
#include <layerwise/kernel/product.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/metrics/detail/pair_scatter.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/cross_moments.hpp>
#include <layerwise/statistics/detail/accumulator.hpp>
#include <layerwise/statistics/scatter.hpp>
#include <layerwise/statistics/second_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <vector>

/// @file
/// Fast weights: the linear maps from one layer to another that a sum of outer products learns in one pass.
namespace layerwise::inline LAYERWISE_ABI {

/// A fast weight score, and how far rounding can have moved it.
struct fast_weight_result {
  double score = 0.0;        ///< in [0, 1]
  double error_bound = 0.0;  ///< |score - exact score of the given data| is at most this
  index tokens = 0;          ///< that took part
  index x_dimensions = 0;    ///< d_x
  index y_dimensions = 0;    ///< d_y
};

/// The fields of a fast weight score.
template <>
inline constexpr auto fields<fast_weight_result> = field_list(
    field{"score", &fast_weight_result::score, "share of Y that the fast weights explain, at their best scale"},
    field{"error_bound", &fast_weight_result::error_bound, "how far rounding can have moved the score"},
    field{"tokens", &fast_weight_result::tokens, "that took part"},
    field{"x_dimensions", &fast_weight_result::x_dimensions, "columns of X"},
    field{"y_dimensions", &fast_weight_result::y_dimensions, "columns of Y"});

namespace detail {

/// W of W^T, times 2^power; `expected` is what is thrown for an element that is not finite.
inline Eigen::MatrixXd map_of(const matrix& transposed, int power, const char* expected, const char* name) {
  Eigen::MatrixXd out(transposed.cols(), transposed.rows());
  for (index j = 0; j < out.cols(); ++j)
    for (index i = 0; i < out.rows(); ++i) {
      out(i, j) = std::scalbn(transposed(j, i), power);
      if (!std::isfinite(out(i, j)))
        fail<non_finite_error>(expected, text(out(i, j)), {.operand = name, .row = i, .column = j});
    }
  return out;
}

/// tr(C^T S C) and ||C||_F^2 of C = X^T Y and S = X^T X, both divided by powers of two, with their bounds:
/// | ||C||^2 - ||C'||^2 | <= 2 ||C|| c + c^2 for an error of c, and with s the error of S
/// | tr C^T S C - tr C'^T S' C' | <= ||S|| (2 ||C|| c + c^2) + s (||C|| + c)^2.
struct fast_weight_energies {
  bounded cross, explained;
};

inline fast_weight_energies energies_of(const scatter& s, const layer_size& x, const layer_size& y) {
  const matrix c = scaled(s.xy, x.factor, y.factor), second = scaled(s.xx, x.factor, x.factor);
  const matrix image = product_of(second, c);
  double explained = 0.0;
  for (index j = 0; j < c.cols(); ++j) explained += dot(column(c, j), column(image, j), c.rows());

  const double energy = column_energies(c).sum(), norm = std::sqrt(energy);
  const double of_second = std::sqrt(column_energies(second).sum());
  const double rounding = unit_roundoff * static_cast<double>(2 * c.rows() + c.cols() + 8);
  const double e = x.factor * s.rounding.of_xy() * y.factor, f = x.factor * s.rounding.of_xx() * x.factor;
  const double of_energy = 2.0 * norm * e + e * e;
  return {{energy, of_energy + rounding * energy},
          {explained, of_second * of_energy + f * (norm + e) * (norm + e) + rounding * of_second * energy}};
}

/// W^T of the delta rule, d_x x d_y: each column, of one dimension of Y, by itself. A block of rows at once.
inline matrix learn_by_delta_rule(const row_source& rows, index d_x, index d_y, double beta) {
  constexpr index block = 64;
  matrix weights = matrix::Zero(d_x, d_y);
  row_block x(block, d_x), y(block, d_y);
  for (index first = 0; first < rows.size(); first += block) {
    const index count = (std::min)(block, rows.size() - first);
    rows.read(0, first, count, x.data(), d_x);
    rows.read(1, first, count, y.data(), d_y);
    for (index i = 0; i < count; ++i) {
      fail_non_finite(x.data() + i * d_x, d_x, rows.place_of(0, first + i));
      fail_non_finite(y.data() + i * d_y, d_y, rows.place_of(1, first + i));
    }
    for_columns(weights, [&](index c) {
      double* const weight = column(weights, c);
      for (index i = 0; i < count; ++i) {
        const double* const key = x.data() + i * d_x;
        add_multiple(beta * (y.data()[i * d_y + c] - dot(key, weight, d_x)), key, weight, d_x);
      }
    });
  }
  return weights;
}

}  // namespace detail

/// How well the fast weights W = Y^T X of a linear attention that has keys X and values Y (fast_weight_map()) map X to
/// Y, at the best scale c:
///
///     1 - min_c ||c X W^T - Y||_F^2 / ||Y||_F^2 = ||X^T Y||_F^4 / (tr(Y^T X X^T X X^T Y) ||Y||_F^2)
///
/// about 0, not about the means: what one step of gradient descent from 0 explains, at most what the least squares map
/// does (linearity() with centering::none), and as much where the directions of X that Y depends on have equal energy.
/// In [0, 1]; 0 where X^T Y is 0. Moments about 0 of cross_moments(second_moments::both).
///
/// Throws option_error for moments without y^T y or about the means, degenerate_input_error where X or Y is 0. Costs
/// 2 d^3 flops.
inline fast_weight_result fast_weight(const scatter& s) {
  const place here{.operand = "fast_weight"};
  detail::require_both(s, here.operand);
  if (s.centering != centering::none) detail::fail<option_error>("moments about 0", "centering::columns", here);
  const detail::layer_size x = detail::size_of(s.xx, s.rounding.of_xx(), "X", centering::none);
  const detail::layer_size y = detail::size_of(s.yy, s.rounding.of_yy(), "Y", centering::none);
  const detail::fast_weight_energies of = detail::energies_of(s, x, y);
  const detail::bounded score = of.cross / of.explained * (of.cross / (y.norm * y.norm));
  fast_weight_result out;
  const detail::bounded kept = detail::kept_within(score, 0.0, 1.0);  // 0 where X^T Y is
  out.score = kept.value, out.error_bound = kept.error;
  out.tokens = s.tokens;
  out.x_dimensions = s.x_dimensions(), out.y_dimensions = s.y_dimensions();
  return out;
}

/// fast_weight() of accumulated moments, cross_moments(second_moments::both). Throws degenerate_input_error for no
/// tokens, too.
inline fast_weight_result fast_weight(const cross_moments& moments) {
  return fast_weight(moments.scatter(centering::none));
}

/// fast_weight() of matrices: x: n_tokens x d_x, y: n_tokens x d_y, of any scalar types and layouts; mask: the tokens
/// that take part. Does not change under rotations of X or of Y, scaling, or the order of the rows. Throws as
/// cross_moments::add, too. Costs 4 n d^2 flops.
template <embedding_matrix X, embedding_matrix Y>
fast_weight_result fast_weight(const X& x, const Y& y, const token_mask& mask = {}) {
  return fast_weight(detail::moments_of_both(x, y, mask));
}

/// fast_weight(x, y, mask).score
template <embedding_matrix X, embedding_matrix Y>
double fast_weight_score(const X& x, const Y& y, const token_mask& mask = {}) {
  return fast_weight(x, y, mask).score;
}

/// fast_weight(moments).score
inline double fast_weight_score(const cross_moments& moments) { return fast_weight(moments).score; }

/// The fast weights of linear attention without a feature map (Katharopoulos et al. 2020, arXiv 2006.16236; Schlag et
/// al. 2021, arXiv 2102.11174), of keys X and values Y:
///
///     W = sum_t y_t x_t^T = Y^T X,  d_y x d_x
///
/// so that W x is what the memory answers to x. Of moments of either kind (of both or of the input), about 0, each
/// element off by scatter_rounding's bound at most. Throws degenerate_input_error for no tokens, non_finite_error where a
/// sum is beyond the range of double. Costs O(d^2).
inline Eigen::MatrixXd fast_weight_map(const cross_moments& moments) {
  const scatter s = moments.scatter(centering::none);
  const int power = -std::ilogb(s.x_scale) - std::ilogb(s.y_scale);
  return detail::map_of(s.xy, power, "sums within the range of double", "fast_weight_map");
}

/// fast_weight_map() of matrices: x: n_tokens x d_x, y: n_tokens x d_y, of any scalar types and layouts; mask: the
/// tokens that take part. Throws as cross_moments::add, too. Costs 3 n d^2 flops.
template <embedding_matrix X, embedding_matrix Y>
Eigen::MatrixXd fast_weight_map(const X& x, const Y& y, const token_mask& mask = {}) {
  cross_moments moments;
  moments.add(x, y, mask);
  return fast_weight_map(moments);
}

/// The fast weights that the delta rule (Widrow and Hoff 1960; Schlag et al. 2021, arXiv 2102.11174, eq. 24) leaves:
///
///     W_0 = 0,  W_t = W_{t-1} + beta (y_t - W_{t-1} x_t) x_t^T,  d_y x d_x
///
/// one token after the other, in the order of the rows, which the result depends on: what is stored for a key is
/// replaced, not added to. With rows x_t of unit length, beta = 1 replaces it wholly; above beta ||x||^2 = 2 the weights
/// may grow without end.
///
/// x: n_tokens x d_x, y: n_tokens x d_y, of any scalar types and layouts, as they are: nothing is centred or normalized.
/// mask: the tokens that take part. beta: >= 0. Throws option_error for another beta, shape_error if the numbers of rows
/// differ or the mask has another length, degenerate_input_error for empty matrices and no tokens, non_finite_error for
/// NaN or infinity in a row that takes part and for weights beyond the range of double. Costs 4 n d^2 flops.
template <embedding_matrix X, embedding_matrix Y>
Eigen::MatrixXd delta_rule_map(const X& x, const Y& y, double beta, const token_mask& mask = {}) {
  if (!(beta >= 0.0 && std::isfinite(beta)))
    detail::fail<option_error>("a finite beta >= 0", detail::text(beta), {.operand = "delta_rule_map"});
  const detail::row_reader x_rows(x);
  const detail::row_reader y_rows(y);
  detail::require_pair(x_rows, y_rows, detail::pair_names);
  const std::vector<index> tokens = mask.rows(x_rows.rows());
  detail::require_tokens(static_cast<index>(tokens.size()), {.operand = "X"});
  const detail::row_source rows = detail::pair_source(x_rows, y_rows, tokens, detail::pair_names);
  return detail::map_of(detail::learn_by_delta_rule(rows, x_rows.cols(), y_rows.cols(), beta), 0,
                        "weights within the range of double (is beta below 2 / ||x||^2?)", "delta_rule_map");
}

}  // namespace layerwise::inline LAYERWISE_ABI
