// layerwise-profile: the layer profile of a dump of hidden states, as a table, as CSV or JSON, and as a
// picture.

#include "options.hpp"

#include "common/program.hpp"
#include "dumps/input.hpp"
#include "dumps/layer_stack.hpp"
#include "dumps/plan.hpp"
#include "measurement/dumped_states.hpp"
#include "measurement/run.hpp"

#include <cstdlib>
#include <string>
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

int run(options asked) {
  auto stack = read_input(asked.input);
  asked.measured.profile.final_norm = label_of(asked, stack);
  const auto batch_tokens = asked.batch_tokens.value_or(measurement::default_batch_tokens(stack));
  const measurement::dumped_states source(std::move(stack), batch_tokens);
  measurement::run measured(program, source, asked.measured, asked.input.tokens.sequence_length);
  if (asked.dry_run) {
    print_or_write(asked.measured.output,
                   dumps::plan_of(source.stack()) + dumps::memory_plan(memory_needed(source.stack(), measured.needs()),
                                                                       "--pairs-in-turn and --no-linearity"));
    return EXIT_SUCCESS;
  }
  std::vector<std::string> files;
  for (const auto& file : source.stack().files) files.push_back(file.path);
  auto result = describe(source, dumps::title_of(source.stack()), std::move(files));
  measured.measure(result);
  measured.show(result);
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
