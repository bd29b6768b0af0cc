// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/metrics/debiased_linear_cka.hpp>
#include <layerwise/metrics/linear_cka.hpp>
#include <layerwise/statistics/layer_pairs.hpp>
#include <layerwise/statistics/stack_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <concepts>
#include <string>

/// @file
/// Linear CKA between all layers.
namespace layerwise::inline LAYERWISE_ABI {

/// The linear CKAs of all pairs of layers, and how far rounding can have moved them.
struct cka_matrix_result {
  double error_bound = 0.0;  ///< |entry - exact entry of the given data| is at most this, for each entry
  index tokens = 0;          ///< that took part
  index dimensions = 0;      ///< d
  Eigen::MatrixXd scores;    ///< (L + 1) x (L + 1): entry (l, m) of h_l and h_m, symmetric, its diagonal 1
};

/// The fields of a matrix of CKAs that are single numbers.
template <>
inline constexpr auto fields<cka_matrix_result> =
    field_list(field{"error_bound", &cka_matrix_result::error_bound, "how far rounding can have moved an entry"},
               field{"tokens", &cka_matrix_result::tokens, "that took part"},
               field{"dimensions", &cka_matrix_result::dimensions, "columns of a layer"});

namespace detail {

/// score_of(scatter, names) of each pair of layers.
template <std::same_as<stack_moments> Moments, class Score>
cka_matrix_result score_pairs(const Moments& moments, const Score& score_of) {
  require_tokens(moments.tokens(), {.operand = "hidden_states"});
  const index layers = moments.layers();
  cka_matrix_result out;
  out.tokens = moments.tokens();
  out.dimensions = moments.dimensions();
  out.scores = Eigen::MatrixXd::Identity(layers, layers);
  for (index l = 0; l < layers; ++l)
    for (index m = l + 1; m < layers; ++m) {
      const std::string from = text("hidden_states, layer ", l), to = text("hidden_states, layer ", m);
      const cka_result pair = score_of(moments.pair(l, m).scatter(), operand_names{from, to});
      out.scores(l, m) = out.scores(m, l) = pair.score;
      out.error_bound = (std::max)(out.error_bound, pair.error_bound);
    }
  return out;
}

template <hidden_states H>
stack_moments moments_of_all_pairs(const H& states, const token_mask& mask) {
  stack_moments moments(layer_pairs::all());
  moments.add(states, mask);
  return moments;
}

}  // namespace detail

/// cka() of all pairs of layers (Kornblith et al. 2019, arXiv 1905.00414, figure 2), of stack_moments that keep
/// layer_pairs::all() and second_moments::both.
///
/// In [0, 1], and biased as linear_cka() is: debiased_cka_matrix() is not. Throws option_error where a pair or its
/// second moments are not kept, degenerate_input_error for no tokens and for a layer without variance, with its number.
/// Costs O(d^2) a pair; the moments themselves are (L + 1)^2 / 2 matrices of d x d doubles: 13 layers of 768
/// dimensions take 0.4 GB, 33 of 4096 take 75 GB.
template <std::same_as<stack_moments> Moments>
cka_matrix_result cka_matrix(const Moments& moments) {
  return detail::score_pairs(moments, detail::cka_of);
}

/// cka_matrix() of hidden states h_0 ... h_L, n_tokens x d each; mask: the tokens that take part. Throws as
/// stack_moments::add, too. Costs (L + 1)^2 n d^2 flops, and memory for O(L^2 d^2) doubles.
template <hidden_states H>
cka_matrix_result cka_matrix(const H& states, const token_mask& mask = {}) {
  return cka_matrix(detail::moments_of_all_pairs(states, mask));
}

/// debiased_cka() of all pairs of layers, as cka_matrix(): about 0 for independent layers. Throws as it does, and
/// degenerate_input_error for fewer than 4 tokens, and for a layer whose unbiased HSIC with itself is not certain to be
/// above 0.
template <std::same_as<stack_moments> Moments>
cka_matrix_result debiased_cka_matrix(const Moments& moments) {
  return detail::score_pairs(moments, detail::debiased_cka_of);
}

/// debiased_cka_matrix() of hidden states. Throws and costs as cka_matrix() of them.
template <hidden_states H>
cka_matrix_result debiased_cka_matrix(const H& states, const token_mask& mask = {}) {
  return debiased_cka_matrix(detail::moments_of_all_pairs(states, mask));
}

}  // namespace layerwise::inline LAYERWISE_ABI
