#pragma once

#include "common/parsed_options.hpp"
#include "metrics/metric.hpp"
#include "report/columns.hpp"

#include <layerwise/profile.hpp>

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

/// @file
/// What the command line of a program that profiles has, whatever the states come from.
namespace examples::measurement {

struct options {
  layerwise::profile_options profile;
  bool pairs_in_turn = false;
  std::vector<const metrics::metric*> more_metrics;   // beside the profile's
  std::vector<const metrics::metric*> named_metrics;  // of them: not by `all`, of which some may be left out
  layerwise::index sample = 2048;                     // tokens that metrics of neighbours look at
  bool angle_map = false;
  bool cka_map = false;
  output_format format = output_format::text;
  std::string column_names;             // as they were given
  std::vector<report::column> columns;  // of the table; empty: the default ones, and the metrics
  std::string output;                   // empty: standard output
  std::string plot;                     // empty: none
  std::string html;                     // empty: none
};

/// Adds them, in groups, and what can't be had together, which is an error of parsing; help ends with the metrics and
/// `footer`.
void add_options(CLI::App& app, options& values, const std::string& footer);

}  // namespace examples::measurement
