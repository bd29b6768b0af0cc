#pragma once

#include "measure.hpp"

#include <Eigen/Core>

namespace examples::layerwise_profile {

/// layerwise::angular_distance_matrix() of all tokens, a batch at a time.
Eigen::MatrixXd angular_distances(const layer_stack& stack, const pass_options& pass);

/// Linear CKA of all pairs of h_0 ... h_L, from the moments of all pairs; NaN for a layer without variance.
Eigen::MatrixXd linear_cka_matrix(const layer_stack& stack, const pass_options& pass);

}  // namespace examples::layerwise_profile
