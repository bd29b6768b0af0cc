#pragma once

#include "dumps/input.hpp"
#include "metrics/metric.hpp"
#include "report/columns.hpp"

#include <layerwise/profile.hpp>

#include <optional>
#include <string>
#include <vector>

namespace examples::layerwise_profile {

enum class output_format { table, csv, json };

/// What the command line asks for.
struct options {
  dumps::input_options input;
  layerwise::profile_options profile;
  std::optional<layerwise::final_norm> final_norm;  // else the files' label
  std::optional<dumps::index> batch_tokens;
  bool pairs_in_turn = false;
  bool dry_run = false;
  std::vector<const metrics::metric*> more_metrics;   // beside the profile's
  std::vector<const metrics::metric*> named_metrics;  // of them: not by `all`, of which some may be left out
  dumps::index sample = 2048;                         // tokens that metrics of neighbours look at
  bool angle_map = false;
  bool cka_map = false;
  output_format format = output_format::table;
  std::vector<report::column> columns;  // of the table; empty: the default ones, and the metrics
  std::string output;                   // empty: standard output
  std::string plot;                     // empty: none
  std::string html;                     // empty: none
};

/// Reads the command line. On --help, --version or a mistake it prints what CLI11 has to say and gives back
/// the exit status instead.
struct command_line {
  options values;
  std::optional<int> exit_status;
};
command_line read_command_line(int argc, char** argv);

}  // namespace examples::layerwise_profile
