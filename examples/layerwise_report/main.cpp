// layerwise-report: profiles that layerwise-profile has written as JSON, side by side, as text or as a page.

#include "profile_file.hpp"
#include "side_by_side.hpp"

#include "common/command_line.hpp"
#include "common/input_error.hpp"
#include "common/program.hpp"
#include "common/write_file.hpp"
#include "report/page.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace examples::layerwise_report {
namespace {

using nlohmann::ordered_json;

constexpr auto program = "layerwise-report";

/// What the command line asks for.
struct options {
  std::vector<std::string> files;
  std::vector<std::string> columns;  // of the text; empty: the default ones
  std::string output;                // empty: standard output
  std::string html;                  // empty: text
};

/// What can't be had together, or at all.
void check_options(const options& o) {
  if (o.files.empty() || o.files.size() > report::page_most)
    throw CLI::ValidationError("FILE",
                               fmt::format("expected 1 to {} profiles, got {}", report::page_most, o.files.size()));
  if (!o.html.empty() && !(o.columns.empty() && o.output.empty()))
    throw CLI::ValidationError("--html", "expected no --columns and no --output, which are of the text");
}

void add_options(CLI::App& app, options& o) {
  name_program(app, program);
  app.add_option("files", o.files, "Profiles, as layerwise-profile --format json writes them")->type_name("FILE");
  add_output_file(app, "--html", o.html,
                  "Write a page for a browser in place of the text: curves, heat maps, all\n"
                  "numbers, and how to read them; it needs no network")
      ->check(page_name());
  app.add_option_function<std::string>(
         "--columns", [&o](const std::string& text) { o.columns = parts_of(text); },
         "Of the text, by their names in CSV; default: linearity_score,\n"
         "residual_linearity_score,displacement")
      ->type_name("NAME,...");
  add_output_file(app, "--output", o.output, "Write the text to a file");
  app.footer(
      "Examples:\n"
      "  layerwise-report before.json after.json --html report.html\n"
      "  layerwise-report small.json large.json --columns displacement,jump_rate\n"
      "\n"
      "The exit status is 1 when a file is no profile.");
}

std::string title_of(const std::vector<ordered_json>& profiles) {
  std::string title;
  for (const auto& profile : profiles) title += (title.empty() ? "" : " | ") + profile["title"].get<std::string>();
  return title;
}

int run(const options& asked) {
  std::vector<ordered_json> profiles;
  for (const auto& file : asked.files) profiles.push_back(read_profile(file));
  if (asked.html.empty()) {
    print_or_write(asked.output, side_by_side(profiles, asked.columns));
    return EXIT_SUCCESS;
  }
  std::vector<std::string> texts;
  for (const auto& profile : profiles) texts.push_back(profile.dump());
  write_file(asked.html, report::to_html(title_of(profiles), texts));
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace examples::layerwise_report

int main(int argc, char** argv) {
  using namespace examples::layerwise_report;
  return examples::run_program(program, [&] {
    options asked;
    CLI::App app("Puts profiles side by side: of models, of one before and after training, of quantizations.\n");
    add_options(app, asked);
    if (const auto status = examples::parse(app, argc, argv, [&] { check_options(asked); })) return *status;
    return run(asked);
  });
}
