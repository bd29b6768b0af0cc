#include "metrics/metric.hpp"

#include <cstddef>

namespace examples::metrics {
namespace {

using report::field_value;
using values = std::vector<field_value>;

values norms(evidence& e) {
  const auto of = layerwise::norm_distribution(e.x->matrix(), e.tokens->all);
  return {of.mean, of.maximum, of.median, of.minimum, of.standard_deviation, of.root_mean_square};
}

values mean_pairwise_cosine(evidence& e) {
  const auto of = layerwise::pairwise_cosine_contributions(e.x->matrix(), e.tokens->all);
  return {of.mean, of.error_bound};
}

values massive_activation(evidence& e) {
  const auto of = layerwise::massive_activations(e.x->matrix(), {}, e.tokens->all);
  const auto& top = of.largest.front();
  return {top.value, top.token, top.dimension, of.massive, of.median};
}

values intrinsic_dimension(evidence& e) {
  const auto of = layerwise::intrinsic_dimension(e.x->matrix(), {.sample = e.tokens->sample_size}, e.tokens->all);
  return {of.dimension, of.sampled, of.duplicates};
}

/// The mean over sequences. Those with fewer than 3 tokens have none, and are left out.
values curvature(evidence& e) {
  double sum = 0;
  index count = 0;
  for (const auto& sequence : e.tokens->sequences) {
    std::vector<bool> keep(static_cast<std::size_t>(sequence.count));
    index kept = 0;
    for (index i = 0; i < sequence.count; ++i) {
      const bool takes_part = e.tokens->all.keeps(sequence.first + i);
      keep[static_cast<std::size_t>(i)] = takes_part;
      kept += takes_part ? 1 : 0;
    }
    if (kept < 3) continue;
    sum += layerwise::curvature(e.x->matrix().middleRows(sequence.first, sequence.count), sequence.count,
                                layerwise::token_mask(std::move(keep)));
    ++count;
  }
  if (count == 0) throw layerwise::degenerate_input_error("expected sequences of at least 3 tokens, got none");
  return {sum / static_cast<double>(count), count};
}

}  // namespace

const std::vector<metric>& layer_metrics() {
  using enum subject;
  using enum source;
  constexpr auto by_eigenvalues = "4/3 d^3, once for all of the spectrum";
  static const std::vector<metric> list{
      // name, of, from, what it is, cost, columns, shown in the table, how
      {"anisotropy",
       layer,
       moments,
       "share of the first direction in the variance",
       by_eigenvalues,
       {"anisotropy", "anisotropy_error"},
       1,
       [](evidence& e) -> values { return {e.spectrum().anisotropy, e.spectrum().anisotropy_error}; }},
      {"stable_rank",
       layer,
       moments,
       "variance in units of that of the first direction",
       by_eigenvalues,
       {"stable_rank", "stable_rank_error"},
       1,
       [](evidence& e) -> values { return {e.spectrum().stable_rank, e.spectrum().stable_rank_error}; }},
      {"participation_ratio",
       layer,
       moments,
       "(sum lambda)^2 / sum lambda^2",
       by_eigenvalues,
       {"participation_ratio", "participation_ratio_error"},
       1,
       [](evidence& e) -> values {
         return {e.spectrum().participation_ratio, e.spectrum().participation_ratio_error};
       }},
      {"effective_rank",
       layer,
       moments,
       "exp of the entropy of the singular values",
       by_eigenvalues,
       {"effective_rank", "effective_rank_error"},
       1,
       [](evidence& e) -> values { return {e.spectrum().effective_rank, e.spectrum().effective_rank_error}; }},
      {"matrix_entropy",
       layer,
       moments,
       "entropy of the eigenvalues, in nats",
       by_eigenvalues,
       {"matrix_entropy", "matrix_entropy_error"},
       1,
       [](evidence& e) -> values { return {e.spectrum().matrix_entropy, e.spectrum().matrix_entropy_error}; }},
      {"condition",
       layer,
       moments,
       "first singular value over the last that is not 0",
       by_eigenvalues,
       {"condition", "condition_error", "rank"},
       1,
       [](evidence& e) -> values { return {e.spectrum().condition, e.spectrum().condition_error, e.spectrum().rank}; }},
      {"mean_pairwise_cosine",
       layer,
       rows,
       "of all pairs of tokens",
       "reads the data once, n d",
       {"mean_pairwise_cosine", "mean_pairwise_cosine_error"},
       1,
       mean_pairwise_cosine},
      {"norm",
       layer,
       rows,
       "norms of the tokens' vectors: mean, maximum ...",
       "reads the data once, n d",
       {"norm", "norm_maximum", "norm_median", "norm_minimum", "norm_deviation", "norm_root_mean_square"},
       2,
       norms},
      {"massive_activation",
       layer,
       rows,
       "the largest |value|, its token and dimension",
       "reads the data 3 to 6 times, n d",
       {"massive_activation", "massive_activation_token", "massive_activation_dimension", "massive_activations",
        "median_activation"},
       3,
       massive_activation},
      {"curvature",
       layer,
       sequences,
       "mean angle between steps from token to token, radians",
       "reads the data once, n d",
       {"curvature", "curvature_sequences"},
       1,
       curvature},
      {"intrinsic_dimension",
       layer,
       sample,
       "TwoNN, of --sample tokens",
       "2 to 5 n^2 d of n sampled, and 16 n d bytes",
       {"intrinsic_dimension", "intrinsic_dimension_sampled", "intrinsic_dimension_duplicates"},
       1,
       intrinsic_dimension},
  };
  return list;
}

}  // namespace examples::metrics
