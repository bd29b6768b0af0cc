// What the library says of a pair of layers, by the names that programs have for it, and of a matrix: decompositions
// that are compiled once for the tests of programs.
#pragma once

#include <layerwise/statistics/cross_moments.hpp>

#include <Eigen/Core>

#include <map>
#include <string>

namespace examples::test {

std::map<std::string, double> values_of_pair(const layerwise::cross_moments& moments);

double condition_number_of(const Eigen::MatrixXd& matrix);

}  // namespace examples::test
