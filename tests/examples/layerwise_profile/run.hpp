// The built program, run as a user runs it.
#pragma once

#include "common/subprocess.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace examples::test {

inline process_result run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), LAYERWISE_PROFILE_PROGRAM);
  const auto result = run_process(arguments);
  REQUIRE(result);
  return *result;
}

}  // namespace examples::test
