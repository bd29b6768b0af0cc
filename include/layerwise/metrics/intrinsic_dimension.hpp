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
#include <layerwise/metrics/detail/nearest_two.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

/// @file
/// How many dimensions the tokens' vectors spread out in, nearby: TwoNN.
namespace layerwise::inline LAYERWISE_ABI {

/// How the dimension comes from the ratios mu of the distances to the second and to the first neighbour.
enum class twonn_fit {
  /// The slope through the origin of -ln(1 - F_i) over ln mu_i, F_i = i / n, of the lowest ratios: the paper's.
  least_squares,
  /// (n - 1) / sum ln mu, of all ratios: DADApy's "ml". The plain maximum likelihood has n in place of n - 1, which is
  /// too large on average.
  maximum_likelihood,
};

/// What may be chosen of an intrinsic dimension.
struct intrinsic_dimension_options {
  twonn_fit fit = twonn_fit::least_squares;
  /// The share of the ratios, the lowest ones, that least squares take: floor(fraction n) of them. Above 0, below 1;
  /// anything else is an option_error. The paper's is 0.9.
  double fraction = 0.9;
  /// At most this many tokens are looked at: one of each of as many equal parts of them, at places that depend on the
  /// numbers alone. At least 3, or an option_error. The estimate of fewer is of a coarser scale.
  index sample = 4096;
};

/// An intrinsic dimension, and of which points it is.
struct intrinsic_dimension_result {
  double dimension = 0.0;  ///< > 0
  index tokens = 0;        ///< that took part
  index sampled = 0;       ///< of them, that were looked at
  index kept = 0;          ///< different rows among those: n
  index duplicates = 0;    ///< rows that repeat an earlier one, removed: sampled - kept
  index ratios = 0;        ///< that the fit has used
};

/// The fields of an intrinsic dimension.
template <>
inline constexpr auto fields<intrinsic_dimension_result> =
    field_list(field{"dimension", &intrinsic_dimension_result::dimension, "TwoNN intrinsic dimension"},
               field{"tokens", &intrinsic_dimension_result::tokens, "that took part"},
               field{"sampled", &intrinsic_dimension_result::sampled, "tokens that were looked at"},
               field{"kept", &intrinsic_dimension_result::kept, "different rows among those"},
               field{"duplicates", &intrinsic_dimension_result::duplicates, "rows that repeat an earlier one, removed"},
               field{"ratios", &intrinsic_dimension_result::ratios, "that the fit has used"});

namespace detail {

inline void check(const intrinsic_dimension_options& options) {
  const place here{.operand = "intrinsic_dimension_options"};
  if (!(options.fraction > 0.0 && options.fraction < 1.0))
    fail<option_error>("a fraction between 0 and 1", text(options.fraction), here);
  if (options.sample < 3) fail<option_error>("a sample of at least 3 tokens", text(options.sample), here);
}

/// Of the n logarithms of ratios, ascending; sets ratios and dimension.
inline void fit_dimension(const std::vector<double>& logs, const intrinsic_dimension_options& options,
                          intrinsic_dimension_result& result) {
  const double n = static_cast<double>(logs.size());
  const bool least_squares = options.fit == twonn_fit::least_squares;
  result.ratios = least_squares ? static_cast<index>(std::floor(options.fraction * n)) : static_cast<index>(n);
  double above = 0.0, below = 0.0;
  for (index i = 0; i < result.ratios; ++i) {
    const double x = at(logs, i), y = -std::log1p(-static_cast<double>(i + 1) / n);
    above += least_squares ? x * y : 0.0;
    below += least_squares ? x * x : x;
  }
  if (!(below > 0.0))
    fail<degenerate_input_error>("points whose two nearest ones are not equally far", "equal distances",
                                 {.operand = "intrinsic_dimension"});
  result.dimension = (least_squares ? above : n - 1.0) / below;
}

template <class Source>
intrinsic_dimension_result dimension_of(const Source& x, index d, const intrinsic_dimension_options& options) {
  check(options);
  intrinsic_dimension_result result;
  result.tokens = x.size();
  result.sampled = (std::min)(options.sample, x.size());
  const row_block rows = read_points(x, spread_out(x.size(), result.sampled), d);
  result.kept = rows.rows();
  result.duplicates = result.sampled - result.kept;
  if (result.kept < 3) fail<degenerate_input_error>("at least 3 different rows", text(result.kept), {.operand = "X"});
  fit_dimension(log_distance_ratios(rows), options, result);
  return result;
}

}  // namespace detail

/// The intrinsic dimension by the two nearest neighbours, TwoNN (Facco et al. 2017, arXiv 1803.06992). With r1 and r2 a
/// point's distances to its first and second neighbour, mu = r2 / r1 has the distribution F(mu) = 1 - mu^(-d), where
/// the points are evenly dense nearby; d is the slope of
///
///     -ln(1 - F_i) = d ln mu_i,  F_i = i / n,  mu ascending,  over the lowest 90 % of them
///
/// through the origin, or another fit (see twonn_fit).
///
/// x: n_tokens x d; mask: the tokens that take part. Rows that repeat an earlier one, as those of token embeddings do,
/// have r1 = 0 and say nothing of the dimension: they are removed before, and counted. Of more than options.sample
/// tokens (4096) a sample is looked at; the result says how many. Distances are taken of the rows, products tell
/// only which are near: right for any offset and scale. Does not change under rotation, translation or one factor.
///
/// Throws option_error; degenerate_input_error for an empty matrix, fewer than 3 different rows, a fraction that leaves
/// no ratio above 1; shape_error for a mask of another length; non_finite_error for NaN or infinity in the rows that
/// are looked at. Costs 2 n^2 d flops for a sample of n, up to 5 where its rows are much longer than their distances,
/// and memory for it, 2 n d doubles.
template <embedding_matrix X>
intrinsic_dimension_result intrinsic_dimension(const X& x, const intrinsic_dimension_options& options = {},
                                               const token_mask& mask = {}) {
  const detail::row_reader<X> reader(x);
  detail::require_not_empty(reader, {.operand = "X"});
  const std::vector<index> tokens = mask.rows(reader.rows());
  return detail::dimension_of(detail::layer_source(reader, tokens), reader.cols(), options);
}

}  // namespace layerwise::inline LAYERWISE_ABI
