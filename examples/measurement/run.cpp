#include "measurement/run.hpp"

#include "common/input_error.hpp"
#include "common/program.hpp"
#include "common/terminal.hpp"
#include "common/write_file.hpp"
#include "dumps/token_choice.hpp"
#include "measurement/all_pairs.hpp"
#include "measurement/measure.hpp"
#include "measurement/sample_size.hpp"
#include "report/heat_map.hpp"
#include "report/page.hpp"
#include "report/plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace examples::measurement {
namespace {

std::string text_of(const report::described_profile& result, const options& asked) {
  switch (asked.format) {
    case output_format::csv:
      return report::to_csv(result);
    case output_format::json:
      return report::to_json(result);
    default:
      return report::to_table(result, asked.output.empty() && wants_colour(), asked.columns);
  }
}

/// The metrics that were asked for. Of `all`, those that the dump or the options don't let be had are left out, which is
/// said; one that was named, beside `all` too, is an error.
std::vector<const metrics::metric*> choose_metrics(std::string_view program, const options& asked,
                                                   const layer_stack& stack, const metrics::token_sets& tokens) {
  std::vector<const metrics::metric*> chosen;
  for (const auto* each : asked.more_metrics) {
    const bool no_sequences = each->from == metrics::source::sequences && tokens.sequences.empty();
    const bool no_moments = each->from == metrics::source::moments && !asked.profile.linearity;
    const bool named = std::ranges::find(asked.named_metrics, each) != asked.named_metrics.end();
    if (no_sequences && named)
      reject(stack.shards.front().path,
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

added_metrics added_to(std::string_view program, const state_source& source, const options& asked,
                       std::optional<index> sequence_length) {
  auto tokens = metrics::token_sets_of(source.stack(), asked.sample, sequence_length);
  auto chosen = choose_metrics(program, asked, source.stack(), tokens);
  return {source, std::move(chosen), std::move(tokens), asked.profile};
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

void draw_all(const report::described_profile& result, const std::string& path) {
  write_plot(result, path);
  for (const auto& matrix : result.matrices) {
    const bool angles = matrix.name == "angular_distances";
    draw_map(result, matrix, angles ? "angular distance / π" : "linear CKA",
             {0.0, angles ? matrix.values.maxCoeff() : 1.0}, map_path(path, angles ? "angles" : "cka"));
  }
}

}  // namespace

report::described_profile describe(const state_source& source, std::string title, std::vector<std::string> files) {
  const auto& stack = source.stack();
  report::described_profile result{std::move(title),
                                   std::move(files),
                                   std::string(name_of(stack.dtype)),
                                   stack.reading,
                                   stack.tokens,
                                   {},
                                   stack.numbers,
                                   {}};
  for (const auto& shard : stack.shards) result.tokens_left_out -= kept_tokens(shard);
  result.layer_numbers.assign(stack.numbers.begin() + 1, stack.numbers.end());
  return result;
}

run::run(std::string_view program, const state_source& source, const options& asked,
         std::optional<index> sequence_length)
    : program_(program), source_(&source), asked_(asked), added_(added_to(program, source, asked, sequence_length)) {}

demands run::needs() const {
  return {.linearity = asked_.profile.linearity,
          .pairs_in_turn = asked_.pairs_in_turn,
          .metrics_of_moments = added_.needs_moments(),
          .to_last = added_.needs_last(),
          .all_pairs = asked_.cka_map,
          .sample_bytes = added_.sample_bytes()};
}

/// Before the first pass, where something can't do without whole states.
void run::check_whole() const {
  const bool orthogonal = asked_.profile.linearity && asked_.profile.method == layerwise::solver::orthogonal;
  if (!orthogonal && !added_.needs_data()) return;
  if (const auto why = source_->why_no_whole())
    reject(source_->stack().shards.front().path, "{} need whole states, but {}: expected fewer --tokens",
           orthogonal ? "scores by --method orthogonal" : "some of --metrics", *why);
}

void run::say_what_stays_in_doubt(const layerwise::layer_profile& profile) const {
  const auto layers = layers_in_doubt(profile, asked_.profile);
  if (layers.empty()) return;
  if (const auto why = source_->why_no_whole())
    say(program_, "note: scores of {} layers are known to no more than their error_bound, for {}", layers.size(), *why);
}

void run::measure(report::described_profile& result) {
  check_memory(source_->stack(), needs());
  check_whole();
  moments_observer observe;
  if (added_.needs_moments())
    observe = [&](const layerwise::stack_moments& moments, index first) { added_.take_moments(moments, first); };
  result.profile = measurement::measure(*source_, asked_.profile, asked_.pairs_in_turn, observe);
  say_what_stays_in_doubt(result.profile);
  if (!asked_.more_metrics.empty()) {
    added_.finish(result.profile, asked_.pairs_in_turn);
    result.added = added_.columns();
    for (const auto& note : added_.notes()) say(program_, "note: {}", note);
  }
  if (asked_.angle_map) result.matrices.push_back({"angular_distances", angular_distances(*source_)});
  if (asked_.cka_map) result.matrices.push_back({"linear_cka", linear_cka_matrix(*source_)});
}

void run::show(const report::described_profile& result) const {
  // A table says it in its head, JSON in `input`.
  if (asked_.format == output_format::csv && (result.taken.assumed || !result.taken.remarks.empty()))
    say(program_, "note: {}", taken_line(result));
  if (const auto advice = sample_size_advice(result.profile)) say(program_, "{}", *advice);
  print_or_write(asked_.output, text_of(result, asked_));
  if (!asked_.plot.empty()) draw_all(result, asked_.plot);
  if (!asked_.html.empty())
    write_file(asked_.html, report::to_html(printable(result.title), {report::to_json(result)}));
}

}  // namespace examples::measurement
