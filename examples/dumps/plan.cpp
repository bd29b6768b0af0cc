#include "dumps/plan.hpp"

#include "common/input_error.hpp"
#include "common/memory_limit.hpp"
#include "dumps/token_choice.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace examples::dumps {
namespace {

/// Lines of names and what is said of them.
class plan {
 public:
  void add(std::string_view name, const std::string& what) {
    text_ += printable(fmt::format("{:<12}{}", name, what)) + "\n";
  }
  void add(std::string_view name, const std::vector<std::string>& lines) {
    for (std::size_t i = 0; i < lines.size(); ++i) add(i == 0 ? name : "", lines[i]);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::vector<std::string> tensor_lines(const std::vector<std::string>& states) {
  if (states.size() == 1) return {in_quotes(states[0])};
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < states.size(); ++i) lines.push_back(fmt::format("h_{}  {}", i, in_quotes(states[i])));
  return lines;
}

bool count_from_zero(const std::vector<index>& numbers) {
  return numbers.front() == 0 &&
         std::ranges::adjacent_find(numbers, [](index a, index b) { return b != a + 1; }) == numbers.end();
}

std::string sequences_text(const layer_stack& stack) {
  index sequences = 0;
  bool known = true;
  for (const auto& shard : stack.shards) {
    sequences += std::ssize(shard.sequences);
    known = known && !shard.sequences.empty();
  }
  if (known) return fmt::format("{}", sequences);
  return stack.sequence_length ? fmt::format("of {} tokens", *stack.sequence_length) : "not known";
}

index tokens_left_out(const layer_stack& stack) {
  index left_out = stack.tokens;
  for (const auto& shard : stack.shards) left_out -= kept_tokens(shard);
  return left_out;
}

}  // namespace

std::string plan_of(const layer_stack& stack) {
  const auto& taken = stack.reading;
  const auto absent = tokens_left_out(stack);
  plan lines;
  lines.add("states", fmt::format("{} of {} tokens x {} dimensions, {}", stack.states, stack.tokens, stack.dimensions,
                                  name_of(stack.dtype)));
  lines.add("axes", fmt::format("{}: {}{}", taken.axes, taken.axes_because, taken.axes_assumed ? " (assumed)" : ""));
  if (!taken.order_because.empty()) lines.add("order", taken.order_because);
  lines.add("tensors", tensor_lines(taken.states));
  if (!count_from_zero(stack.numbers)) lines.add("numbers", fmt::format("{}", fmt::join(stack.numbers, ", ")));
  lines.add("mask", taken.mask.empty() ? "none: every token is real" : in_quotes(taken.mask));
  lines.add("tokens", fmt::format("{} take part, {} left out", stack.tokens - absent, absent));
  lines.add("sequences", sequences_text(stack));
  lines.add("final norm", stack.final_norm ? fmt::format("h_{} is {} it", stack.states - 1, *stack.final_norm)
                                           : std::string("not stated"));
  std::vector<std::string> left_out;
  for (const auto& name : taken.left_out) left_out.push_back(in_quotes(name));
  lines.add("not read", left_out);
  for (const auto& remark : taken.remarks) lines.add("assumed", remark);
  std::vector<std::string> files;
  for (const auto& file : stack.files) files.push_back(file.path);
  lines.add("files", files);
  return lines.text();
}

std::string memory_plan(double needed, std::string_view remedy) {
  const auto limit = available_memory();
  plan line;
  line.add("memory", fmt::format("about {:.3g} GiB, of {:.3g} GiB {}{}", needed / 0x1p30, limit.bytes / 0x1p30,
                                 limit.set_by, needed > limit.bytes ? fmt::format(": too much; see {}", remedy) : ""));
  return line.text();
}

}  // namespace examples::dumps
