#pragma once

#include "measurement/state_source.hpp"

#include <Eigen/Core>

namespace examples::measurement {

/// layerwise::angular_distance_matrix() of all tokens, a batch at a time.
Eigen::MatrixXd angular_distances(const state_source& source);

/// Linear CKA of all pairs of h_0 ... h_L, from the moments of all pairs; NaN for a layer without variance.
Eigen::MatrixXd linear_cka_matrix(const state_source& source);

}  // namespace examples::measurement
