#include <layerwise/layerwise.hpp>

#include <cmath>

#include "two_units.hpp"

int main() {
  const Eigen::MatrixXd x = Eigen::MatrixXd::Random(50, 4);
  const Eigen::MatrixXd y = x.array().square().matrix();
  return std::abs(layerwise::linearity_score(x, y) - score_in_the_other_unit(x, y)) < 1e-12 ? 0 : 1;
}
