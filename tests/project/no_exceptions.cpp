// Compiled with -fno-exceptions and LAYERWISE_NO_EXCEPTIONS: bad input prints the message, and aborts.
#include <layerwise/metrics/displacement.hpp>
#include <layerwise/metrics/procrustes_normalize.hpp>

#include <csignal>
#include <cstdlib>

int main() {
  std::signal(SIGABRT, [](int) { std::_Exit(0); });
  const Eigen::MatrixXf x = Eigen::MatrixXf::Ones(4, 2);
  if (layerwise::displacement(x, x).sum() != 0) return 1;
  layerwise::displacement(x, Eigen::MatrixXf::Ones(3, 2));  // aborts
  return 1;
}
