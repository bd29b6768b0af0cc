#include "report.hpp"

#include "input_error.hpp"
#include "measure.hpp"
#include "memory_limit.hpp"
#include "token_choice.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace layerwise_profile {

std::string_view text_of(layerwise::final_norm label) {
  switch (label) {
    case layerwise::final_norm::before:
      return "before";
    case layerwise::final_norm::after:
      return "after";
    default:
      return "unspecified";
  }
}

std::string_view text_of(layerwise::centering choice) {
  return choice == layerwise::centering::columns ? "columns" : "none";
}

std::string_view text_of(layerwise::solver method) {
  switch (method) {
    case layerwise::solver::cholesky:
      return "cholesky";
    case layerwise::solver::orthogonal:
      return "orthogonal";
    case layerwise::solver::rank_revealing:
      return "rank_revealing";
    default:
      return "automatic";
  }
}

std::string summary(const report& source) {
  const auto& profile = source.profile;
  const auto norm = profile.final_norm == layerwise::final_norm::unspecified
                        ? std::string("final norm not stated")
                        : fmt::format("last state {} the final norm", text_of(profile.final_norm));
  return fmt::format("{} layers, {} tokens, {} dimensions, {}, {}, {}", profile.layers.size(), profile.tokens,
                     profile.dimensions, name_of(source.dtype), norm,
                     profile.centering == layerwise::centering::columns ? "columns centred" : "not centred");
}

report describe_profile(std::string title, std::string text, data_type dtype, layerwise::layer_profile profile) {
  report result{std::move(title), {std::move(text)}, dtype, {}, 0, {}, {}, std::move(profile)};
  result.layer_numbers.resize(result.profile.layers.size());
  result.state_numbers.resize(result.profile.layers.size() + 1);
  std::iota(result.layer_numbers.begin(), result.layer_numbers.end(), index{1});
  std::iota(result.state_numbers.begin(), result.state_numbers.end(), index{0});
  return result;
}

report describe_input(const layer_stack& stack, std::string title) {
  report result{std::move(title), {}, stack.dtype, stack.reading, stack.tokens, {}, stack.numbers, {}};
  for (const auto& file : stack.files) result.files.push_back(file.path);
  for (const auto& shard : stack.shards) result.tokens_left_out -= kept_tokens(shard);
  result.layer_numbers.assign(stack.numbers.begin() + 1, stack.numbers.end());
  return result;
}

namespace {

/// "'h.0' ... 'h.11'"
std::string first_and_last(const std::vector<std::string>& names) {
  if (names.size() == 1) return in_quotes(names.front());
  return fmt::format("{}{}{}", in_quotes(names.front()), names.size() > 2 ? " ... " : " and ", in_quotes(names.back()));
}

}  // namespace

std::string taken_line(const report& source) {
  const auto& taken = source.taken;
  auto text = fmt::format("read {} as {} ({}{})", first_and_last(taken.states), taken.axes, taken.axes_because,
                          taken.order_because.empty() ? "" : ", " + taken.order_because);
  if (!taken.mask.empty()) text += fmt::format("; mask {}", in_quotes(taken.mask));
  if (source.tokens_left_out > 0)
    text += fmt::format("; {} of {} tokens left out", source.tokens_left_out,
                        source.tokens_left_out + source.profile.tokens);
  if (!taken.left_out.empty())
    text += fmt::format("; not read: {}{}", in_quotes(taken.left_out.front()),
                        taken.left_out.size() > 1 ? fmt::format(" and {} more", taken.left_out.size() - 1) : "");
  for (const auto& remark : taken.remarks) text += "; " + remark;
  return printable(text);
}

std::string to_plan(const layer_stack& stack, const report& source, bool linearity, bool pairs_in_turn) {
  const auto& taken = source.taken;
  std::string text;
  const auto line = [&](std::string_view name, const std::string& what) {
    text += printable(fmt::format("{:<12}{}", name, what)) + "\n";
  };
  line("states", fmt::format("{} of {} tokens x {} dimensions, {}", stack.states, stack.tokens, stack.dimensions,
                             name_of(stack.dtype)));
  line("axes", fmt::format("{}: {}{}", taken.axes, taken.axes_because, taken.axes_assumed ? " (assumed)" : ""));
  if (!taken.order_because.empty()) line("order", taken.order_because);
  for (std::size_t i = 0; i < taken.states.size(); ++i)
    line(i == 0 ? "tensors" : "", taken.states.size() == 1 ? in_quotes(taken.states[0])
                                                           : fmt::format("h_{}  {}", i, in_quotes(taken.states[i])));
  if (std::ranges::adjacent_find(stack.numbers, [](index a, index b) { return b != a + 1; }) != stack.numbers.end() ||
      stack.numbers.front() != 0)
    line("numbers", fmt::format("{}", fmt::join(stack.numbers, ", ")));
  line("mask", taken.mask.empty() ? "none: every token is real" : in_quotes(taken.mask));
  line("tokens",
       fmt::format("{} take part, {} left out", stack.tokens - source.tokens_left_out, source.tokens_left_out));
  index sequences = 0;
  bool known = true;
  for (const auto& shard : stack.shards) {
    sequences += std::ssize(shard.sequences);
    known = known && !shard.sequences.empty();
  }
  line("sequences", known                   ? fmt::format("{}", sequences)
                    : stack.sequence_length ? fmt::format("of {} tokens", *stack.sequence_length)
                                            : std::string("not known"));
  line("final norm", stack.final_norm ? fmt::format("h_{} is {} it", stack.states - 1, *stack.final_norm)
                                      : std::string("not stated"));
  for (std::size_t i = 0; i < taken.left_out.size(); ++i) line(i == 0 ? "not read" : "", in_quotes(taken.left_out[i]));
  for (const auto& remark : taken.remarks) line("assumed", remark);
  for (std::size_t i = 0; i < source.files.size(); ++i) line(i == 0 ? "files" : "", source.files[i]);
  const auto limit = available_memory();
  const double needed = memory_needed(stack, linearity, pairs_in_turn);
  line("memory",
       fmt::format("about {:.3g} GiB, of {:.3g} GiB {}{}", needed / 0x1p30, limit.bytes / 0x1p30, limit.set_by,
                   needed > limit.bytes ? ": too much; see --pairs-in-turn and --no-linearity" : ""));
  return text;
}

}  // namespace layerwise_profile
