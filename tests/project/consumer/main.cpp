// What a consumer of layerwise writes; each way to consume it builds and runs this. It need not know of exceptions.
#include <layerwise/layerwise.hpp>

#include <iostream>

int main() {
  const Eigen::MatrixXd before = Eigen::MatrixXd::Random(200, 8);
  const Eigen::MatrixXf after = (before * Eigen::MatrixXd::Random(8, 8)).cast<float>();

  const double linearity = layerwise::linearity_score(before, after);
  const double displacement = layerwise::displacement(before, after).mean();
#ifdef _OPENMP
  std::cout << "with OpenMP, ";
#endif
  std::cout << "layerwise " << layerwise::version_major << '.' << layerwise::version_minor << '.'
            << layerwise::version_patch << ": linearity " << linearity << ", displacement " << displacement << '\n';

  // `after` is a linear map of `before`, up to its rounding to float, and another direction in space.
  const bool right = linearity > 1 - 1e-6 && linearity <= 1 && displacement > 0 && displacement < 1;
  return right ? 0 : 1;
}
