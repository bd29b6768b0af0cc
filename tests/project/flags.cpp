// What flags.cmake compiles with flags that take something away from floating point. Ends with 0 if
// everything is right (NaN is found where it is, 45 degrees are 45 degrees), with 3 if the library refuses to
// compute, else with 1.
#include <layerwise/metrics/displacement.hpp>
#include <layerwise/metrics/jump_rate.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

int refused = 0;

template <class Error, class Body>
bool throws(const char* message, const Body& body) {
  try {
    body();
  } catch (const layerwise::unsupported_error& e) {
    ++refused;
    return std::strstr(e.what(), "-fno-fast-math") != nullptr;
  } catch (const Error& e) {
    return std::strstr(e.what(), message) != nullptr;
  }
  return false;
}

}  // namespace

int main(int, char** argv) {
  const float nan = std::strtof("nan", nullptr), one = static_cast<float>(std::strlen(argv[0]) > 0);
  Eigen::MatrixXf x(4, 2), y(4, 2);
  x.rowwise() = Eigen::RowVector2f(one, 0);
  y.rowwise() = Eigen::RowVector2f(one, one);
  bool right = true;
  try {
    right = std::abs(layerwise::displacement(x, y).mean() - 0.146446609406726) < 1e-14 &&
            std::abs(layerwise::jump_rate({0.25 * one, 0.5}) - 25) < 1e-12;
  } catch (const layerwise::unsupported_error&) {
    ++refused;
  }
  x(3, 1) = nan;
  right = throws<layerwise::non_finite_error>("row 3, column 1", [&] { layerwise::displacement(x, y); }) && right;
  right = throws<layerwise::non_finite_error>("row 3, column 1", [&] { layerwise::displacement(y, 2 * x); }) && right;
  right =
      throws<layerwise::non_finite_error>("layer 2", [&] { layerwise::jump_rate({0.5, static_cast<double>(nan)}); }) &&
      right;
  if (!right || (refused != 0 && refused != 4)) return 1;
  return refused == 4 ? 3 : 0;
}
