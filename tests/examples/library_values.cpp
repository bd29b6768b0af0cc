#include "examples/library_values.hpp"

#include <layerwise/metrics.hpp>

#include <Eigen/Core>

#include <map>
#include <string>

namespace examples::test {

std::map<std::string, double> values_of_pair(const layerwise::cross_moments& moments) {
  const auto procrustes = layerwise::procrustes(moments);
  const auto canonical = layerwise::cca(moments);
  return {{"linear_cka", layerwise::linear_cka(moments)},
          {"debiased_linear_cka", layerwise::debiased_linear_cka(moments)},
          {"representational_similarity", layerwise::representational_similarity(moments)},
          {"procrustes", procrustes.distance},
          {"size_and_shape_distance", procrustes.size_and_shape_distance},
          {"mean_cca", canonical.mean},
          {"mean_square_cca", canonical.mean_square},
          {"cca_floor", canonical.chance_floor},
          {"svcca", layerwise::svcca(moments)},
          {"pwcca", layerwise::pwcca(moments)},
          {"fast_weight_score", layerwise::fast_weight_score(moments)}};
}

double condition_number_of(const Eigen::MatrixXd& matrix) { return layerwise::condition_number(matrix); }

}  // namespace examples::test
