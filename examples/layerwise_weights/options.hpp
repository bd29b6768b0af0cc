#pragma once

#include "inspect.hpp"

#include "common/parsed_options.hpp"

#include <string>

namespace examples::layerwise_weights {

/// What the command line asks for.
struct options {
  std::string path;
  inspect_options inspection;
  int threads = 0;  // 0: as OMP_NUM_THREADS or the machine say
  output_format format = output_format::text;
  std::string output;  // empty: standard output
  std::string plot;    // empty: none
};

parsed_options<options> read_command_line(int argc, char** argv);

}  // namespace examples::layerwise_weights
