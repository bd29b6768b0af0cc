#include "measurement/options.hpp"

#include "common/command_line.hpp"
#include "measurement/added_metrics.hpp"
#include "metrics/command_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace examples::measurement {
namespace {

std::vector<report::column> columns_of(const std::string& text, const std::vector<const metrics::metric*>& chosen) {
  std::vector<std::string> added;
  for (const auto* each : chosen) added.insert(added.end(), each->columns.begin(), each->columns.end());
  try {
    return report::columns_named(parts_of(text), added);
  } catch (const std::invalid_argument& error) {
    throw CLI::ValidationError("--columns", error.what());
  }
}

void add_measurement(CLI::App& app, options& o) {
  const std::string group = "Measurement";
  app.add_flag_callback(
         "--no-linearity", [&o] { o.profile.linearity = false; },
         "Angles, displacements and the like only: no memory for moments")
      ->group(group);
  app.add_flag("--pairs-in-turn", o.pairs_in_turn,
               "One pair of layers after the other, where the moments of all are too\n"
               "large for the memory; every layer is read twice")
      ->group(group);
  app.add_flag_callback(
         "--no-centering", [&o] { o.profile.centering = layerwise::centering::none; },
         "Don't centre the columns before linearity is scored")
      ->group(group);
  add_choice(app, "--method", o.profile.method,
             std::map<std::string, layerwise::solver>{{"automatic", layerwise::solver::automatic},
                                                      {"cholesky", layerwise::solver::cholesky},
                                                      {"orthogonal", layerwise::solver::orthogonal},
                                                      {"rank-revealing", layerwise::solver::rank_revealing}},
             "How the least-squares problems are solved; automatic (the default)\n"
             "takes Cholesky where its error bound is within the tolerance, and\n"
             "a second pass over the data (orthogonal) where not")
      ->group(group);
  app.add_option("--tolerance", o.profile.tolerance, "Error bound of a score that automatic is content with")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""))
      ->capture_default_str()
      ->type_name("X")
      ->group(group);
}

void add_metrics(CLI::App& app, options& o) {
  const std::string group = "More metrics";
  app.add_option_function<std::string>(
         "--metrics",
         [&o](const std::string& text) {
           auto names = parts_of(text);
           o.more_metrics = metrics::metrics_asked(known_metrics(), names);
           std::erase(names, "all");
           o.named_metrics = metrics::metrics_asked(known_metrics(), names);
         },
         "A column each of those listed below, or of all; metrics of one layer have\n"
         "a row for the embeddings, too, of layer 0, where all else is empty")
      ->type_name("all|NAME,...")
      ->group(group);
  metrics::add_sample(app, o.sample)->group(group);
  app.add_option_function<std::string>(
         "--heat-map",
         [&o](const std::string& which) {
           o.angle_map = which != "cka";
           o.cka_map = which != "angles";
         },
         "Angular distances or linear CKA of all pairs of layers: in JSON, and drawn\n"
         "beside --plot, as FILE.angles.svg and FILE.cka.svg, and in the page of\n"
         "--html; cka takes a pass of its own, n d^2 (L + 1)^2, and 4 d^2 (L + 1)^2 bytes")
      ->check(CLI::IsMember({"angles", "cka", "all"}).description(""))
      ->type_name("angles|cka|all")
      ->group(group);
}

void add_output(CLI::App& app, options& o) {
  const std::string group = "Output";
  add_format(app, o.format, "table", "csv and json have every digit")->group(group);
  app.add_option("--columns", o.column_names, "Of the table, by their names in CSV; the layer's number comes first")
      ->type_name("NAME,...")
      ->group(group);
  add_output_file(app, "--output", o.output, "Write the numbers to a file")->group(group);
  add_output_file(app, "--plot", o.plot, "Draw the curves into an .svg or .png file (needs gnuplot)")
      ->check(picture_name())
      ->group(group);
  add_output_file(
      app, "--html", o.html,
      "Write a page for a browser: curves, heat maps, all numbers, and how to\nread them; it needs no network")
      ->check(page_name())
      ->group(group);
}

/// What can't be had together.
void check(options& o) {
  const auto needs_moments = [](const auto* each) { return each->from == metrics::source::moments; };
  const auto found = std::ranges::find_if(o.named_metrics, needs_moments);
  if (!o.profile.linearity && found != o.named_metrics.end())
    throw CLI::ValidationError(
        "--metrics", fmt::format("{} is of second moments, which --no-linearity does without", (*found)->name));
  const bool drawn = !o.plot.empty() || !o.html.empty() || o.format == output_format::json;
  if ((o.angle_map || o.cka_map) && !drawn)
    throw CLI::ValidationError("--heat-map",
                               "expected --plot FILE, --html FILE, or --format json, where the numbers are");
  if (!o.column_names.empty() && o.format != output_format::text)
    throw CLI::ValidationError("--columns", "expected --format table: csv and json have all fields");
  if (!o.column_names.empty()) o.columns = columns_of(o.column_names, o.more_metrics);
}

}  // namespace

void add_options(CLI::App& app, options& values, const std::string& footer) {
  add_measurement(app, values);
  add_metrics(app, values);
  add_output(app, values);
  app.footer("Metrics, and what they cost for each layer (n tokens, d dimensions):\n" +
             metrics::help_of(known_metrics()) + "\n" + footer);
  app.final_callback([&values] { check(values); });
}

}  // namespace examples::measurement
