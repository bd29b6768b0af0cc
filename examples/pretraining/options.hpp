#pragma once

#include "model.hpp"
#include "training.hpp"

#include <optional>
#include <string>

namespace pretraining {

enum class command { train, replace, report };

/// What the command line asks for.
struct options {
  pretraining::command command = pretraining::command::train;
  model_shape shape;  // of a new model
  training_options training;
  std::string from;  // checkpoint; empty: a new model
  std::string train_file, held_out_file;
  std::string purpose = "pretraining";
  std::string label;             // empty: that of the penalty
  std::int64_t evaluated = 256;  // sequences that a measurement reads
  std::string directory;         // of a run, or of all runs for the report
};

/// Reads the command line. On --help or a mistake it prints what CLI11 has to say and gives back the exit
/// status instead.
struct command_line {
  options values;
  std::optional<int> exit_status;
};
command_line read_command_line(int argc, char** argv);

}  // namespace pretraining
