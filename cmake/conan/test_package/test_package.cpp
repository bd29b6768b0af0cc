#include <layerwise/layerwise.hpp>

#include <iostream>

int main() {
  const Eigen::MatrixXf before = Eigen::MatrixXf::Random(100, 4);
  const Eigen::MatrixXf after = before * Eigen::MatrixXf::Random(4, 4);
  std::cout << "layerwise " << layerwise::version_major << '.' << layerwise::version_minor << '.'
            << layerwise::version_patch << ": linearity " << layerwise::linearity_score(before, after) << '\n';
}
