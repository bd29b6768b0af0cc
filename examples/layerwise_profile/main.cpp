// layerwise-profile: the layer profile of a dump of hidden states, as a table, as CSV or JSON, and as a
// picture.

#include "describe.hpp"
#include "measure.hpp"
#include "options.hpp"
#include "sample_size.hpp"

#include "common/terminal.hpp"
#include "common/write_file.hpp"
#include "dumps/input_files.hpp"
#include "dumps/layer_stack.hpp"
#include "dumps/token_choice.hpp"
#include "report/plot.hpp"
#include "report/report.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <unistd.h>

namespace examples::layerwise_profile {
namespace {

constexpr auto program = "layerwise-profile";

/// A mapped file that shrinks, or a disk that fails, while it is read raises SIGBUS.
extern "C" void end_on_bus_error(int) {
  constexpr char message[] = "layerwise-profile: a file could no longer be read: did it shrink?\n";
  if (::write(STDERR_FILENO, message, sizeof message - 1) < 0) ::_exit(2);
  ::_exit(1);
}

/// The whole text to stdout. A reader that has seen enough (`| head`) is no error.
void print(const std::string& text) {
  const bool complete = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (!complete && errno != EPIPE)
    throw std::runtime_error(fmt::format("standard output can't be written: {}", std::strerror(errno)));
}

/// What --mask says is a file where there is one of that name, else a tensor's name.
void choose_mask(const std::string& mask, dumps::stack_options& options) {
  if (mask.empty() || mask == "none" || !std::filesystem::exists(mask))
    options.mask = mask;
  else
    options.mask_file = std::make_shared<const dumps::tensor_file>(dumps::open_tensor_file(mask));
}

layerwise::final_norm label_of(const options& asked, const dumps::layer_stack& stack) {
  if (asked.final_norm) return *asked.final_norm;
  if (!stack.final_norm) return layerwise::final_norm::unspecified;
  return *stack.final_norm == "before" ? layerwise::final_norm::before : layerwise::final_norm::after;
}

void print_or_write(const options& asked, const std::string& text) {
  if (asked.output.empty())
    print(text);
  else
    write_file(asked.output, text);
}

dumps::layer_stack read_stack(const options& asked) {
  auto choice = asked.stack;
  choose_mask(asked.mask, choice);
  choice.final_norm_is_known = asked.final_norm.has_value();
  choice.sequences_are_known = asked.tokens.sequence_length.has_value();
  std::vector<dumps::tensor_file> files;
  for (const auto& path : dumps::expand_paths(asked.files)) {
    std::error_code error;
    const bool is_mask = choice.mask_file && std::filesystem::equivalent(path, asked.mask, error);
    if (!is_mask) files.push_back(dumps::open_tensor_file(path));
  }
  auto stack = dumps::stack_layers(std::move(files), choice);
  choose_tokens(stack, asked.tokens);
  return stack;
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

void run(options asked) {
  const auto stack = read_stack(asked);
  auto result = describe_input(stack);
  if (asked.dry_run) return print_or_write(asked, to_plan(stack, result, asked.profile.linearity, asked.pairs_in_turn));

  asked.profile.final_norm = label_of(asked, stack);
  const auto batch_tokens = asked.batch_tokens.value_or(default_batch_tokens(stack));
  result.profile = measure(stack, asked.profile, {batch_tokens, asked.pairs_in_turn});

  // A table says it in its head, JSON in `input`.
  if (asked.format == output_format::csv && result.taken.assumed) say(program, "note: {}", taken_line(result));
  if (const auto advice = sample_size_advice(result.profile)) say(program, "{}", *advice);
  print_or_write(asked, text_of(result, asked));
  if (!asked.plot.empty()) write_plot(result, asked.plot);
}

}  // namespace
}  // namespace examples::layerwise_profile

int main(int argc, char** argv) {
  using namespace examples::layerwise_profile;
  using examples::say;
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is seen where it is written to
  std::signal(SIGBUS, end_on_bus_error);

  try {
    const auto line = read_command_line(argc, argv);
    if (line.exit_status) return *line.exit_status;
    run(line.values);
    return EXIT_SUCCESS;
  } catch (const std::bad_alloc&) {
    say(program, "error: out of memory");
  } catch (const std::exception& error) {
    say(program, "error: {}", error.what());
  }
  return EXIT_FAILURE;
}
