// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/solve/detail/affine_map.hpp>
#include <layerwise/solve/detail/regress.hpp>
#include <layerwise/solve/linearity_options.hpp>
#include <layerwise/statistics/cross_moments.hpp>

#include <Eigen/Core>

#include <cmath>
#include <utility>

/// @file
/// The linear map that stands in for a layer.
namespace layerwise::inline LAYERWISE_ABI {

/// Y ~ X * weight + bias in the data's own coordinates.
struct linear_map {
  Eigen::MatrixXd weight;   ///< d_x x d_y
  Eigen::RowVectorXd bias;  ///< 1 x d_y; zero without centring

  /// x: n_tokens x d_x. Returns x * weight + bias, n_tokens x d_y in double; nothing for no tokens. Throws shape_error
  /// for another d_x, non_finite_error for NaN or infinity in x and for a result beyond the range of double. Costs
  /// 2 n_tokens d_x d_y flops.
  template <embedding_matrix X>
  row_matrix operator()(const X& x) const {
    const detail::row_reader reader(x);
    if (reader.cols() != weight.rows())
      detail::fail<shape_error>(detail::text(weight.rows(), " columns"), detail::text(detail::shape_of(reader)),
                                {.operand = "X"});
    row_matrix out(reader.rows(), weight.cols());
    detail::parallel_chunks(reader.rows(), 64, [&](index first, index count) {
      detail::row_block rows(count, reader.cols());
      for (index i = 0; i < count; ++i) reader.read(first + i, rows.data() + i * rows.cols());
      out.middleRows(first, count) = (rows * weight).rowwise() + bias;
      for (index i = 0; i < count; ++i)
        if (!out.row(first + i).allFinite()) apply_scaled(&rows(i, 0), first + i, &out(first + i, 0));
    });
    return out;
  }

 private:
  /// One row of the result where a sum has overflowed: with row and bias divided by a power of two.
  [[gnu::cold]] void apply_scaled(double* row, index token, double* out) const {
    // Sums of up to 2^60 terms, each below 2^-60 of the largest number.
    const int power = detail::rescale_row(row, weight.rows(), {.operand = "X", .row = token}) + 61;
    for (index k = 0; k < weight.rows(); ++k) row[k] *= 0x1p-61;
    for (index c = 0; c < weight.cols(); ++c) {
      const double sum = detail::dot(row, weight.data() + c * weight.rows(), weight.rows());
      out[c] = std::scalbn(sum + std::scalbn(bias[c], -power), power);
    }
    detail::fail_non_finite(out, weight.cols(), {.operand = "X * weight + bias", .row = token});
  }
};

/// The map of linearity(): argmin over W, b of ||X W + 1 b - Y||_F, in the data's own coordinates. It can
/// stand in for a layer of high linearity (arXiv 2405.12250, section on pruning).
///
/// x: n_tokens x d_x, y: n_tokens x d_y; weight is d_x x d_y, bias 1 x d_y. Where columns of X are dependent
/// the map is not unique: dependent columns get weight 0 (the update's weight, where the update was fitted).
/// Errors and cost as linearity(); non_finite_error, too, for a weight or a bias beyond the range of double.
template <embedding_matrix X, embedding_matrix Y>
linear_map fit_linear_map(const X& x, const Y& y, const linearity_options& options = {}, const token_mask& mask = {}) {
  const auto [m, fit] =
      detail::regress(x, y, {options, detail::regression_target::output, detail::pair_names, true}, mask);
  auto [weight, bias] = detail::affine_map_of(m, fit);
  return {std::move(weight), std::move(bias)};
}

/// fit_linear_map() of accumulated moments. Throws degenerate_input_error for moments of no tokens or of no variance,
/// and where solver::cholesky finds dependent columns; option_error for a bad tolerance and for solver::orthogonal,
/// which needs the data; non_finite_error for a weight or a bias beyond the range of double. Costs what solver.hpp says
/// of the method, and d_x^2 d_y flops for the map.
inline linear_map fit_linear_map(const cross_moments& moments, const linearity_options& options = {}) {
  const auto [m, fit] =
      detail::regress(moments, {options, detail::regression_target::output, detail::pair_names, true});
  auto [weight, bias] = detail::affine_map_of(m, fit);
  return {std::move(weight), std::move(bias)};
}

}  // namespace layerwise::inline LAYERWISE_ABI
