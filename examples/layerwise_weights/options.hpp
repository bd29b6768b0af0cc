#pragma once

#include "inspect.hpp"

#include <optional>
#include <string>

namespace examples::layerwise_weights {

enum class output_format { text, csv, json };

/// What the command line asks for.
struct options {
  std::string path;
  inspect_options inspection;
  int threads = 0;  // 0: as OMP_NUM_THREADS or the machine say
  output_format format = output_format::text;
  std::string output;  // empty: standard output
  std::string plot;    // empty: none
};

/// Reads the command line. On --help, --version or a mistake it prints what CLI11 has to say and gives back the exit
/// status instead.
struct command_line {
  options values;
  std::optional<int> exit_status;
};
command_line read_command_line(int argc, char** argv);

}  // namespace examples::layerwise_weights
