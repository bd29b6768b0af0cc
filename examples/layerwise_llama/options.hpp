#pragma once

#include "model_run.hpp"

#include "common/parsed_options.hpp"
#include "measurement/options.hpp"

#include <string>

namespace examples::layerwise_llama {

/// What the command line asks for.
struct options {
  std::string model;
  text_options text;
  index skip_first = 0;
  bool loss = false;
  run_options running;  // threads: the processors, unless said
  bool timing = false;
  measurement::options measured;
};

parsed_options<options> read_command_line(int argc, char** argv);

}  // namespace examples::layerwise_llama
