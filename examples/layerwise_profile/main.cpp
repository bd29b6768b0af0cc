// layerwise-profile: the layer profile of a dump of hidden states, as a table, as CSV or JSON, and as a
// picture.

#include "input_error.hpp"
#include "input_files.hpp"
#include "layer_stack.hpp"
#include "measure.hpp"
#include "options.hpp"
#include "plot.hpp"
#include "report.hpp"
#include "sample_size.hpp"
#include "token_choice.hpp"

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
#include <system_error>
#include <utility>

#include <unistd.h>

namespace layerwise_profile {
namespace {

/// One line on stderr.
template <class... Arguments>
void say(fmt::format_string<Arguments...> message, Arguments&&... arguments) {
  const auto text = fmt::format(message, std::forward<Arguments>(arguments)...);
  fmt::print(stderr, "layerwise-profile: {}\n", printable(text));
}

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
void choose_mask(const std::string& mask, stack_options& options) {
  if (mask.empty() || mask == "none" || !std::filesystem::exists(mask))
    options.mask = mask;
  else
    options.mask_file = std::make_shared<const tensor_file>(open_tensor_file(mask));
}

layerwise::final_norm label_of(const options& asked, const layer_stack& stack) {
  if (asked.final_norm) return *asked.final_norm;
  if (!stack.final_norm) return layerwise::final_norm::unspecified;
  return *stack.final_norm == "before" ? layerwise::final_norm::before : layerwise::final_norm::after;
}

/// The model's name where the dump has it, else the file's.
std::string title_of(const layer_stack& stack) {
  const auto& first = stack.files.front();
  const auto model = first.metadata.find("model");
  const auto file = std::filesystem::path(first.path).filename().string();
  auto title = model == first.metadata.end() ? file : fmt::format("{} ({})", model->second, file);
  if (stack.files.size() > 1) title += fmt::format(" and {} more", stack.files.size() - 1);
  return title;
}

void print_or_write(const options& asked, const std::string& text) {
  if (asked.output.empty())
    print(text);
  else
    write_file(asked.output, text);
}

void run(options asked) {
  choose_mask(asked.mask, asked.stack);
  asked.stack.final_norm_is_known = asked.final_norm.has_value();
  asked.stack.sequences_are_known = asked.tokens.sequence_length.has_value();
  std::vector<tensor_file> files;
  for (const auto& path : expand_paths(asked.files)) {
    std::error_code error;
    const bool is_mask = asked.stack.mask_file && std::filesystem::equivalent(path, asked.mask, error);
    if (!is_mask) files.push_back(open_tensor_file(path));
  }
  auto stack = stack_layers(std::move(files), asked.stack);
  choose_tokens(stack, asked.tokens);

  report result = describe_input(stack, title_of(stack));
  if (asked.dry_run) return print_or_write(asked, to_plan(stack, result, asked.profile.linearity, asked.pairs_in_turn));

  asked.profile.final_norm = label_of(asked, stack);
  const auto batch_tokens = asked.batch_tokens.value_or(default_batch_tokens(stack));
  result.profile = measure(stack, asked.profile, {batch_tokens, asked.pairs_in_turn});

  // A table says it in its head, JSON in `input`.
  if (asked.format == output_format::csv && result.taken.assumed) say("note: {}", taken_line(result));
  if (const auto advice = sample_size_advice(result.profile)) say("{}", *advice);
  const bool to_terminal = asked.output.empty() && ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
  const auto text = asked.format == output_format::csv    ? to_csv(result)
                    : asked.format == output_format::json ? to_json(result)
                                                          : to_table(result, to_terminal);
  print_or_write(asked, text);
  if (!asked.plot.empty()) write_plot(result, asked.plot);
}

}  // namespace
}  // namespace layerwise_profile

int main(int argc, char** argv) {
  using namespace layerwise_profile;
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is seen where it is written to
  std::signal(SIGBUS, end_on_bus_error);

  try {
    const auto line = read_command_line(argc, argv);
    if (line.exit_status) return *line.exit_status;
    run(line.values);
    return EXIT_SUCCESS;
  } catch (const std::bad_alloc&) {
    say("error: out of memory");
  } catch (const std::exception& error) {
    say("error: {}", error.what());
  }
  return EXIT_FAILURE;
}
