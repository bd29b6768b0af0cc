#pragma once

#include "sequences.hpp"

#include "measurement/options.hpp"

#include <optional>
#include <string>

namespace examples::layerwise_llama {

/// What the command line asks for.
struct options {
  std::string model;
  text_options text;
  index skip_first = 0;
  bool loss = false;
  int threads;  // default: the processors
  index micro_batch = 512;
  bool timing = false;
  measurement::options measured;
};

/// Reads the command line. On --help, --version or a mistake it prints what CLI11 has to say and gives back
/// the exit status instead.
struct command_line {
  options values;
  std::optional<int> exit_status;
};
command_line read_command_line(int argc, char** argv);

}  // namespace examples::layerwise_llama
