#include "metrics/metric.hpp"

namespace examples::metrics {
namespace {

using report::field_value;
using pair_values = std::vector<field_value>;

/// From the moments, or where these can't give it to the tolerance and the data is at hand, from that.
pair_values linearity(evidence& e) {
  auto by_moments = e.linearity;
  if (by_moments.method == layerwise::solver::orthogonal) by_moments.method = layerwise::solver::automatic;
  auto of = layerwise::linearity(*e.pair, by_moments);
  const bool again = e.linearity.method == layerwise::solver::orthogonal ||
                     (e.linearity.method == layerwise::solver::automatic && of.error_bound > e.linearity.tolerance);
  if (again && e.fetch) e.fetch();
  if (again && e.x != nullptr && e.y != nullptr)
    of = layerwise::linearity(e.x->matrix(), e.y->matrix(), e.linearity, e.tokens->all);
  return {of.score, of.error_bound, of.adjusted_score, of.chance_floor};
}

pair_values mutual_knn(evidence& e) {
  return {layerwise::mutual_knn(e.x->matrix(), e.y->matrix(), 10, e.tokens->sample), e.tokens->sampled};
}

}  // namespace

const std::vector<metric>& pair_metrics() {
  using enum subject;
  using enum source;
  static const std::vector<metric> list{
      // name, of, from, what it is, cost, columns, shown in the table, how
      {"linear_cka",
       pair,
       moments,
       "1 where one is the other, rotated and scaled",
       "d^2",
       {"linear_cka", "linear_cka_error"},
       1,
       [](evidence& e) -> pair_values {
         const auto of = layerwise::cka(e.centred());
         return {of.score, of.error_bound};
       }},
      {"debiased_linear_cka",
       pair,
       moments,
       "the same, about 0 for independent data",
       "d^2",
       {"debiased_linear_cka", "debiased_linear_cka_error"},
       1,
       [](evidence& e) -> pair_values {
         const auto of = layerwise::debiased_cka(e.centred());
         return {of.score, of.error_bound};
       }},
      {"representational_similarity",
       pair,
       moments,
       "correlation of squared distances",
       "d^2",
       {"representational_similarity", "representational_similarity_error"},
       1,
       [](evidence& e) -> pair_values {
         const auto of = layerwise::rsa(e.centred());
         return {of.score, of.error_bound};
       },
       "rsa"},
      {"procrustes",
       pair,
       moments,
       "distance of the two, normalized and rotated, 0 to 1.41",
       "3 d^3 on one thread",
       {"procrustes", "procrustes_error", "procrustes_angle", "size_and_shape_distance"},
       1,
       [](evidence& e) -> pair_values {
         const auto of = layerwise::procrustes(e.centred());
         return {of.distance, of.distance_error_bound, of.angle, of.size_and_shape_distance};
       }},
      {"mean_cca",
       pair,
       moments,
       "mean canonical correlation",
       "6 d^3, half on one thread",
       {"mean_cca", "mean_cca_error", "mean_square_cca", "cca_floor"},
       1,
       [](evidence& e) -> pair_values {
         const auto of = layerwise::cca(e.centred());
         return {of.mean, of.error_bound, of.mean_square, of.chance_floor};
       }},
      {"svcca",
       pair,
       moments,
       "the same of directions with 99 % of the variance",
       "20 d^3 on one thread",
       {"svcca", "svcca_error"},
       1,
       [](evidence& e) -> pair_values {
         const auto of = layerwise::singular_vector_cca(e.centred());
         return {of.mean, of.error_bound};
       }},
      {"pwcca",
       pair,
       moments,
       "weighted by what the first one has of each direction",
       "13 d^3, most on one thread",
       {"pwcca", "pwcca_error"},
       1,
       [](evidence& e) -> pair_values {
         const auto of = layerwise::projection_weighted_cca(e.centred());
         return {of.score, of.error_bound};
       }},
      {"fast_weight_score",
       pair,
       moments,
       "what the fast weights Y^T X explain",
       "2 d^3",
       {"fast_weight_score", "fast_weight_score_error"},
       1,
       [](evidence& e) -> pair_values {
         const auto of = layerwise::fast_weight(*e.pair);
         return {of.score, of.error_bound};
       }},
      {"linearity",
       pair,
       moments,
       "how well a linear map makes the second of the first",
       "2 d^3",
       {"linearity", "linearity_error", "linearity_adjusted", "linearity_floor"},
       1,
       linearity},
      {"mutual_knn",
       pair,
       sample,
       "share of the 10 nearest that agree, of --sample tokens",
       "4 to 10 n^2 d of n sampled, and 32 n d bytes",
       {"mutual_knn", "mutual_knn_sampled"},
       1,
       mutual_knn},
  };
  return list;
}

}  // namespace examples::metrics
