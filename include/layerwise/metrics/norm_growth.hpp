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
#include <layerwise/metrics/norm_distribution.hpp>
#include <layerwise/statistics/detail/accumulator.hpp>

#include <cmath>
#include <limits>
#include <vector>

/// @file
/// How the norms of hidden states grow, beside what Pre-LN and Post-LN let them at initialization.
namespace layerwise::inline LAYERWISE_ABI {

/// What may be chosen of a norm growth.
struct norm_growth_options {
  /// How far outside its bounds, relative to them, a mean of finitely many tokens may lie and still count as within. In
  /// 0..1, the paper's epsilon, which it verifies at 0.1; anything else is an option_error.
  double tolerance = 0.1;
};

/// The norms of one h_l, and what theory expects of them.
struct norm_growth_result {
  double mean_square = 0.0;     ///< mean over tokens of ||h_l||^2, over d
  double pre_ln_least = 0.0;    ///< 1 + l / 2
  double pre_ln_most = 0.0;     ///< 1 + 3 l / 2
  bool within_pre_ln = false;   ///< mean_square is between the two, to the tolerance
  bool within_post_ln = false;  ///< mean_square is 3/2, to the tolerance
  index layer = 0;              ///< l
  index tokens = 0;             ///< that took part
};

/// The fields of a norm growth.
template <>
inline constexpr auto fields<norm_growth_result> =
    field_list(field{"mean_square", &norm_growth_result::mean_square, "mean squared norm of a row, over d"},
               field{"pre_ln_least", &norm_growth_result::pre_ln_least, "what Pre-LN begins with at least"},
               field{"pre_ln_most", &norm_growth_result::pre_ln_most, "what Pre-LN begins with at most"},
               field{"within_pre_ln", &norm_growth_result::within_pre_ln, "between the two"},
               field{"within_post_ln", &norm_growth_result::within_post_ln, "3/2, before a layer's last normalization"},
               field{"layer", &norm_growth_result::layer, "l of h_l"},
               field{"tokens", &norm_growth_result::tokens, "that took part"});

/// E ||h_l||^2 / d of every layer l = 0..L, element [l] of the result, beside what holds at initialization (Xiong et
/// al. 2020, arXiv 2002.04745, lemma 2), where E ||h_0||^2 = d, weights are Xavier's and attention is uniform:
///
///     Pre-LN:   1 + l / 2 <= E ||h_l||^2 / d <= 1 + 3 l / 2
///     Post-LN:  E ||x_{l, 5}||^2 / d = 3 / 2
///
/// l counts whole blocks, attention and feed-forward together, as h_l does. h_l of Pre-LN is meant before the final
/// normalization; x_{l, 5} of Post-LN is the sum of a block's feed-forward sublayer and its input, before the block's
/// last normalization: behind that, where h_l usually is, the mean square is 1 whatever the model. Trained models leave
/// the bounds, as do those whose embeddings are not of unit variance.
///
/// states: h_0 ... h_L, n_tokens x d each; mask: the tokens that take part. Means within (d / 32 + 8) 3e-16, relative.
/// Throws shape_error for fewer than 2 layers, layers of unequal shapes, a mask of another length; option_error for a
/// bad tolerance; degenerate_input_error for empty matrices and no tokens; non_finite_error for NaN, infinity and a
/// mean square beyond the range of double, at either end, with the layer. Costs one pass, and a double a row.
template <hidden_states H>
std::vector<norm_growth_result> norm_growth(const H& states, const norm_growth_options& options = {},
                                            const token_mask& mask = {}) {
  const double slack = options.tolerance;
  if (!(slack >= 0.0 && slack <= 1.0))
    detail::fail<option_error>("a tolerance in 0..1", detail::text(slack), {.operand = "norm_growth_options"});
  const auto readers = detail::open_layers(states);
  const std::vector<index> tokens = mask.rows(readers.front().rows());
  detail::require_tokens(static_cast<index>(tokens.size()), {.operand = "hidden_states"});
  const detail::row_source stack = detail::stack_source(readers, tokens);
  const index d = readers.front().cols();
  std::vector<norm_growth_result> growth(readers.size());
  for (index l = 0; l < static_cast<index>(readers.size()); ++l) {
    norm_growth_result& of = growth[static_cast<std::size_t>(l)];
    const double root = detail::distribution_of(detail::norms_of(stack.pair(l, l), d)).root_mean_square /
                        std::sqrt(static_cast<double>(d));
    of.mean_square = root * root;
    const bool is_lost = root > 0.0 && of.mean_square < (std::numeric_limits<double>::min)();
    if (is_lost || !std::isfinite(of.mean_square))
      detail::fail<non_finite_error>("a mean square within the range of double", detail::text(root, " squared"),
                                     {.operand = "hidden_states", .layer = l});
    of.pre_ln_least = 1.0 + 0.5 * static_cast<double>(l);
    of.pre_ln_most = 1.0 + 1.5 * static_cast<double>(l);
    of.within_pre_ln =
        of.mean_square >= of.pre_ln_least * (1.0 - slack) && of.mean_square <= of.pre_ln_most * (1.0 + slack);
    of.within_post_ln = std::abs(of.mean_square - 1.5) <= 1.5 * slack;
    of.layer = l;
    of.tokens = stack.size();
  }
  return growth;
}

}  // namespace layerwise::inline LAYERWISE_ABI
