// layerwise-profile: the layer profile of a dump of hidden states, as a table, as CSV or JSON, and as a
// picture.

#include "added_metrics.hpp"
#include "all_pairs.hpp"
#include "describe.hpp"
#include "measure.hpp"
#include "memory.hpp"
#include "options.hpp"
#include "sample_size.hpp"

#include "common/input_error.hpp"
#include "common/program.hpp"
#include "common/terminal.hpp"
#include "common/write_file.hpp"
#include "dumps/input.hpp"
#include "dumps/layer_stack.hpp"
#include "dumps/plan.hpp"
#include "report/heat_map.hpp"
#include "report/page.hpp"
#include "report/plot.hpp"
#include "report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace examples::layerwise_profile {
namespace {

constexpr auto program = "layerwise-profile";

layerwise::final_norm label_of(const options& asked, const dumps::layer_stack& stack) {
  if (asked.final_norm) return *asked.final_norm;
  if (!stack.final_norm) return layerwise::final_norm::unspecified;
  return *stack.final_norm == "before" ? layerwise::final_norm::before : layerwise::final_norm::after;
}

std::string text_of(const report::described_profile& result, const options& asked) {
  switch (asked.format) {
    case output_format::csv:
      return to_csv(result);
    case output_format::json:
      return to_json(result);
    default:
      return to_table(result, asked.output.empty() && wants_colour(), asked.columns);
  }
}

/// The metrics that were asked for. Of `all`, those that the dump or the options don't let be had are left out, which is
/// said; one that was named, beside `all` too, is an error.
std::vector<const metrics::metric*> choose_metrics(const options& asked, const dumps::layer_stack& stack,
                                                   const metrics::token_sets& tokens) {
  std::vector<const metrics::metric*> chosen;
  for (const auto* each : asked.more_metrics) {
    const bool no_sequences = each->from == metrics::source::sequences && tokens.sequences.empty();
    const bool no_moments = each->from == metrics::source::moments && !asked.profile.linearity;
    const bool named = std::ranges::find(asked.named_metrics, each) != asked.named_metrics.end();
    if (no_sequences && named)
      reject(stack.files.front().path,
             "{} needs --sequence-length N, or 0 if each file is one sequence: the file does not tell", each->name);
    if (no_sequences)
      say(program, "note: {} is left out: it needs --sequence-length, which the file does not tell", each->name);
    else if (no_moments)
      say(program, "note: {} is left out: it is of second moments, which --no-linearity does without", each->name);
    else
      chosen.push_back(each);
  }
  return chosen;
}

/// "profile.angles.svg" for "profile.svg".
std::string map_path(const std::string& plot, std::string_view which) {
  const auto dot = plot.rfind('.');
  return fmt::format("{}.{}{}", plot.substr(0, dot), which, plot.substr(dot));
}

void draw_map(const report::described_profile& source, const report::layer_matrix& matrix, std::string name,
              std::pair<double, double> range, const std::string& path) {
  report::heat_map map{
      std::move(name), matrix.values, source.state_numbers, source.state_numbers, "layer", "layer", {}, {}};
  std::tie(map.lowest, map.highest) = range;
  report::write_heat_maps({map}, {source.title, summary(source)}, path, "--plot");
}

void measure_pairs(report::described_profile& result, const options& asked, const dumps::layer_stack& stack,
                   const pass_options& pass) {
  if (asked.angle_map) result.matrices.push_back({"angular_distances", angular_distances(stack, pass)});
  if (asked.cka_map) result.matrices.push_back({"linear_cka", linear_cka_matrix(stack, pass)});
}

void draw_all(const report::described_profile& result, const std::string& path) {
  write_plot(result, path);
  for (const auto& matrix : result.matrices) {
    const bool angles = matrix.name == "angular_distances";
    draw_map(result, matrix, angles ? "angular distance / π" : "linear CKA",
             {0.0, angles ? matrix.values.maxCoeff() : 1.0}, map_path(path, angles ? "angles" : "cka"));
  }
}

int run(options asked) {
  const auto stack = read_input(asked.input);
  auto result = describe_input(stack);
  auto tokens = metrics::token_sets_of(stack, asked.sample, asked.input.tokens.sequence_length);
  auto chosen = choose_metrics(asked, stack, tokens);
  added_metrics added(stack, std::move(chosen), std::move(tokens), asked.profile);
  const demands wanted{.linearity = asked.profile.linearity,
                       .pairs_in_turn = asked.pairs_in_turn,
                       .metrics_of_moments = added.needs_moments(),
                       .to_last = added.needs_last(),
                       .all_pairs = asked.cka_map,
                       .sample_bytes = added.sample_bytes()};
  if (asked.dry_run) {
    print_or_write(asked.output, dumps::plan_of(stack) + dumps::memory_plan(memory_needed(stack, wanted),
                                                                            "--pairs-in-turn and --no-linearity"));
    return EXIT_SUCCESS;
  }

  asked.profile.final_norm = label_of(asked, stack);
  const pass_options pass{asked.batch_tokens.value_or(default_batch_tokens(stack)), asked.pairs_in_turn};
  check_memory(stack, wanted);
  moments_observer observe;
  if (added.needs_moments())
    observe = [&](const layerwise::stack_moments& moments, index first) { added.take_moments(moments, first); };
  result.profile = measure(stack, asked.profile, pass, observe);
  if (!asked.more_metrics.empty()) {
    added.finish(result.profile, pass);
    result.added = added.columns();
    for (const auto& note : added.notes()) say(program, "note: {}", note);
  }
  measure_pairs(result, asked, stack, pass);

  // A table says it in its head, JSON in `input`.
  if (asked.format == output_format::csv && result.taken.assumed) say(program, "note: {}", taken_line(result));
  if (const auto advice = sample_size_advice(result.profile)) say(program, "{}", *advice);
  print_or_write(asked.output, text_of(result, asked));
  if (!asked.plot.empty()) draw_all(result, asked.plot);
  if (!asked.html.empty()) write_file(asked.html, report::to_html(printable(result.title), {to_json(result)}));
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace examples::layerwise_profile

int main(int argc, char** argv) {
  using namespace examples::layerwise_profile;
  return examples::run_program(program, [&] {
    auto line = read_command_line(argc, argv);
    if (line.exit_status) return *line.exit_status;
    line.values.input.final_norm_is_known = line.values.final_norm.has_value();
    return run(std::move(line.values));
  });
}
