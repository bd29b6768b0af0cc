#include "two_units.hpp"

#include <layerwise/layerwise.hpp>

double score_in_the_other_unit(const Eigen::MatrixXd& x, const Eigen::MatrixXd& y) {
  return layerwise::linearity_score(x, y);
}
