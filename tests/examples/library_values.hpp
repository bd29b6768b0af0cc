// What the library says of a pair of layers, by the names that programs have for it. Compiled once for their tests.
#pragma once

#include <layerwise/statistics/cross_moments.hpp>

#include <map>
#include <string>

namespace examples::test {

std::map<std::string, double> values_of_pair(const layerwise::cross_moments& moments);

}  // namespace examples::test
