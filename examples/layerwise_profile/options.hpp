#pragma once

#include "dumps/layer_stack.hpp"
#include "dumps/token_choice.hpp"
#include "report/columns.hpp"

#include <layerwise/profile.hpp>

#include <optional>
#include <string>
#include <vector>

namespace examples::layerwise_profile {

enum class output_format { table, csv, json };

/// What the command line asks for.
struct options {
  std::vector<std::string> files;  // or directories of them
  dumps::stack_options stack;
  layerwise::profile_options profile;
  std::optional<layerwise::final_norm> final_norm;  // else the files' label
  std::string mask;                                 // a tensor's name, a file, or "none"
  dumps::token_choice tokens;
  std::optional<dumps::index> batch_tokens;
  bool pairs_in_turn = false;
  bool dry_run = false;
  output_format format = output_format::table;
  std::vector<report::column> columns = report::default_columns();  // of the table
  std::string output;                                               // empty: standard output
  std::string plot;                                                 // empty: none
};

/// Reads the command line. On --help, --version or a mistake it prints what CLI11 has to say and gives back
/// the exit status instead.
struct command_line {
  options values;
  std::optional<int> exit_status;
};
command_line read_command_line(int argc, char** argv);

}  // namespace examples::layerwise_profile
