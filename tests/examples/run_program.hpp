// The built program TESTED_PROGRAM, run as a user runs it.
#pragma once

#include "common/subprocess.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <utility>
#include <vector>

namespace examples::test {

inline process_result run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), TESTED_PROGRAM);
  const auto result = run_process(arguments);
  REQUIRE(result);
  return *result;
}

inline nlohmann::json run_json(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--format", "json"});
  const auto result = run(std::move(arguments));
  CAPTURE(result.errors);
  REQUIRE(result.status == 0);
  return nlohmann::json::parse(result.output);
}

}  // namespace examples::test
