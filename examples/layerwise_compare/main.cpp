// layerwise-compare: two dumps of hidden states of the same tokens, layer against layer, as matrices, CSV or JSON, and
// as heat maps.

#include "comparison.hpp"
#include "measure.hpp"
#include "memory.hpp"
#include "options.hpp"
#include "report.hpp"

#include "common/program.hpp"
#include "common/terminal.hpp"
#include "dumps/input.hpp"
#include "dumps/plan.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <optional>
#include <string>

namespace examples::layerwise_compare {
namespace {

constexpr auto program = "layerwise-compare";

std::string text_of(const comparison& result, output_format format) {
  switch (format) {
    case output_format::csv:
      return to_csv(result);
    case output_format::json:
      return to_json(result);
    default:
      return to_text(result);
  }
}

void say_notes(const comparison& result, const metrics::token_sets& tokens) {
  if (result.values.any([](const auto& each) { return each.from == metrics::source::sample; })) {
    say(program, "note: metrics of neighbours are of {} of {} tokens, which take {:.3g} MiB (--sample)", tokens.sampled,
        tokens.tokens, metrics::sample_bytes(tokens.sampled, result.a.dimensions + result.b.dimensions) / 0x1p20);
  }
  for (const auto& note : result.values.notes([&](std::size_t row) {
         return fmt::format("layers {} and {}", result.a.numbers[static_cast<std::size_t>(result.pairs[row].from)],
                            result.b.numbers[static_cast<std::size_t>(result.pairs[row].to)]);
       }))
    say(program, "note: {}", note);
}

int run(const options& asked) {
  const auto a = read_input(asked.a), b = read_input(asked.b);
  require_same_tokens(a, b);
  const auto tokens = metrics::token_sets_of(a, asked.sample, std::nullopt);
  if (const auto other = first_other_token(a, b))
    say(program, "warning: the ids of token {} differ: are these the same tokens?", *other);
  if (asked.dry_run) {
    print_or_write(asked.output,
                   fmt::format("A\n{}\nB\n{}\n{} pairs of layers\n{}", dumps::plan_of(a), dumps::plan_of(b),
                               pair_count(a, b, asked.pairs),
                               dumps::memory_plan(memory_needed(a, b, tokens.tokens, asked), "--pairs same")));
    return EXIT_SUCCESS;
  }
  check_memory(a, b, tokens.tokens, asked);
  auto result = describe(a, b, tokens.tokens, asked.pairs, asked.chosen);
  measure(result, a, b, batch_of(a, b, asked), tokens);
  say_notes(result, tokens);
  print_or_write(asked.output, text_of(result, asked.format));
  if (!asked.plot.empty()) write_plot(result, asked.plot);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace examples::layerwise_compare

int main(int argc, char** argv) {
  using namespace examples::layerwise_compare;
  return examples::run_program(program, [&] {
    const auto line = read_command_line(argc, argv);
    return line.exit_status ? *line.exit_status : run(line.values);
  });
}
