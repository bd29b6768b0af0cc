#pragma once

#include "common/command_line.hpp"
#include "metrics/metric.hpp"

#include <CLI/CLI.hpp>

#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace examples::metrics {

/// metrics_named(), for what --metrics gives.
inline std::vector<const metric*> metrics_asked(std::span<const metric* const> known,
                                                const std::vector<std::string>& names) {
  try {
    return metrics_named(known, names);
  } catch (const std::invalid_argument& error) {
    throw CLI::ValidationError("--metrics", error.what());
  }
}

/// Adds --sample.
inline CLI::Option* add_sample(CLI::App& app, layerwise::index& sample) {
  return app.add_option("--sample", sample, "Tokens that metrics of neighbours look at, one of each of N equal parts")
      ->check(at_least(3))
      ->capture_default_str()
      ->type_name("N");
}

}  // namespace examples::metrics
