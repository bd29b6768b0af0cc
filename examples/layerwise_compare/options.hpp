#pragma once

#include "comparison.hpp"

#include "common/parsed_options.hpp"
#include "dumps/input.hpp"
#include "metrics/metric.hpp"

#include <optional>
#include <string>
#include <vector>

namespace examples::layerwise_compare {

/// What the command line asks for.
struct options {
  dumps::input_options a, b;
  std::vector<const metrics::metric*> chosen;
  pairing pairs = pairing::all;
  index sample = 1024;  // tokens that metrics of neighbours look at
  std::optional<index> batch_tokens;
  bool dry_run = false;
  output_format format = output_format::text;
  std::string output;  // empty: standard output
  std::string plot;    // empty: none
};

parsed_options<options> read_command_line(int argc, char** argv);

}  // namespace examples::layerwise_compare
