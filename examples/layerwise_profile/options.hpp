#pragma once

#include "common/parsed_options.hpp"
#include "dumps/input.hpp"
#include "measurement/options.hpp"

#include <layerwise/profile.hpp>

#include <optional>

namespace examples::layerwise_profile {

/// What the command line asks for.
struct options {
  dumps::input_options input;
  std::optional<layerwise::final_norm> final_norm;  // else the files' label
  std::optional<dumps::index> batch_tokens;
  bool dry_run = false;
  measurement::options measured;
};

parsed_options<options> read_command_line(int argc, char** argv);

}  // namespace examples::layerwise_profile
