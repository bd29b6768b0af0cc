// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/metrics/detail/pair_scatter.hpp>
#include <layerwise/metrics/linearity.hpp>
#include <layerwise/solve/detail/solve.hpp>
#include <layerwise/solve/linearity_options.hpp>
#include <layerwise/statistics/cross_moments.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>
#include <layerwise/statistics/scatter.hpp>

#include <Eigen/Core>

#include <concepts>
#include <limits>
#include <utility>

/// @file
/// How well each of two layers, or of two models' on the same tokens, is a linear map of the other.
namespace layerwise::inline LAYERWISE_ABI {

/// Linearities both ways.
struct predictivity_result {
  linearity_result forward;   ///< of Y from X
  linearity_result backward;  ///< of X from Y
};

/// The fields of a predictivity.
template <>
inline constexpr auto fields<predictivity_result> =
    field_list(field{"forward", &predictivity_result::forward, "linearity of Y from X"},
               field{"backward", &predictivity_result::backward, "linearity of X from Y"});

namespace detail {

/// What the solver needs to know of (Y, X). The norms that the rounding of xy is relative to are those of y: where y -
/// x was summed they are larger than y's own.
template <std::same_as<scatter> Scatter>
pair_moments reversed(const Scatter& s) {
  const auto stats = [](const matrix& second, const Eigen::VectorXd& norms, double scale) {
    const Eigen::VectorXd none = Eigen::VectorXd::Zero(norms.size());
    column_stats of{scale, none, none, none, none};
    for (index j = 0; j < norms.size(); ++j) of.energy[j] = second(j, j), of.noise[j] = norms[j] * norms[j];
    return of;
  };
  pair_moments out;
  out.tokens = s.tokens;
  out.centering = s.centering;
  out.second = s.yy;
  out.cross = s.xy.transpose();
  out.x = stats(s.yy, s.rounding.cross_norm, s.y_scale);
  out.output = stats(s.xx, s.rounding.x_norm, s.x_scale);
  double energy = 0.0;
  for (const double one : out.output.energy) energy += one;
  const double columns = static_cast<double>(s.xx.cols());
  out.output_total = {energy, 2.0 * (s.rounding.of_xx() + columns * unit_roundoff * energy) / energy};
  out.sum_rounding = s.rounding.gamma;
  out.different_rows = (std::numeric_limits<index>::max)();  // of Y no one has counted them
  return out;
}

}  // namespace detail

/// Linear predictivity both ways: linearity() of Y from X and of X from Y, of one accumulation,
/// cross_moments(second_moments::both). The regression similarity R^2 of Kornblith et al. 2019 (arXiv 1905.00414),
/// which is not symmetric: a layer that forgets is easy to predict, and predicts badly.
///
/// forward is linearity(moments, options) to the last bit. Throws as it does, and option_error for moments without
/// y^T y. Costs twice as much.
template <std::same_as<cross_moments> Moments>
predictivity_result linear_predictivity(const Moments& moments, const linearity_options& options = {}) {
  const scatter s = moments.scatter(options.centering);
  detail::require_both(s, "linear_predictivity");
  detail::require_variance(s.yy, "Y", options.centering);
  predictivity_result out{linearity(moments, options), {}};
  const detail::pair_moments back = detail::reversed(s);
  const detail::regression fit =
      detail::solve(back, {.method = options.method, .tolerance = options.tolerance, .output = true});
  out.backward = detail::make_result(fit, back, detail::regression_target::output);
  return out;
}

/// linear_predictivity() of matrices: x: n_tokens x d_x, y: n_tokens x d_y, of any scalar types and layouts; mask: the
/// tokens that take part. Each way as linearity(): with the data at hand, ill-conditioned problems, too, are solved to
/// options.tolerance. Throws and costs as two calls of it.
template <embedding_matrix X, embedding_matrix Y>
predictivity_result linear_predictivity(const X& x, const Y& y, const linearity_options& options = {},
                                        const token_mask& mask = {}) {
  return {linearity(x, y, options, mask), linearity(y, x, options, mask)};
}

}  // namespace layerwise::inline LAYERWISE_ABI
