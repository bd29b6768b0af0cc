#include "dumps/axes.hpp"

#include "common/input_error.hpp"
#include "dumps/layer_names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace examples::dumps {
namespace {

/// Deeper than any transformer. A larger number is a [token][layer][dim] dump read as [layer][token][dim].
constexpr index most_states = 4096;
/// Deeper than the deepest that are in use (126 layers), and fewer tokens than anybody measures.
constexpr index likely_states = 140, likely_tokens = 4;

constexpr std::array<std::pair<axis, std::string_view>, 4> names{
    {{axis::layer, "layer"}, {axis::batch, "batch"}, {axis::token, "token"}, {axis::dim, "dim"}}};

const axis_order layer_major{axis::layer, axis::token, axis::dim};
const axis_order token_major{axis::token, axis::layer, axis::dim};
const axis_order one_batch{axis::batch, axis::token, axis::dim};

/// The readings of a stack of that many dimensions.
std::vector<axis_order> stack_readings(std::size_t rank) {
  if (rank == 3) return {layer_major, token_major};
  return {{axis::layer, axis::batch, axis::token, axis::dim},
          {axis::batch, axis::layer, axis::token, axis::dim},
          {axis::batch, axis::token, axis::layer, axis::dim}};
}

bool may_be(const tensor& item, const axis_order& axes) {
  const index states = size_of(item, axes, axis::layer);
  const index tokens = size_of(item, axes, axis::token) * size_of(item, axes, axis::batch);
  const bool one_token =
      has(axes, axis::batch) && size_of(item, axes, axis::token) == 1;  // an axis of 1 is that of the batch
  return states >= 2 && states <= likely_states && tokens >= likely_tokens && !one_token;
}

/// "13 states of 4096 tokens"
std::string counts(const tensor& item, const axis_order& axes) {
  const index batch = size_of(item, axes, axis::batch);
  return fmt::format("{}{} tokens",
                     has(axes, axis::layer) ? fmt::format("{} states of ", size_of(item, axes, axis::layer)) : "",
                     batch == 1 ? fmt::format("{}", size_of(item, axes, axis::token))
                                : fmt::format("{} x {}", batch, size_of(item, axes, axis::token)));
}

[[noreturn]] void reject_open(const tensor_file& file, const tensor& item, const std::vector<axis_order>& readings,
                              std::string_view reason) {
  std::string choices;
  for (const auto& axes : readings)
    choices += fmt::format("{}--layout '{}' ({})", choices.empty() ? "" : ", or ", text_of(axes), counts(item, axes));
  reject(file.path, "{}: {}: say {}; if it is one layer's [batch][token][dim], name the other layers' files, too",
         describe(item), reason, choices);
}

[[noreturn]] void reject_lone(const tensor_file& file, const tensor& item, std::string_view why) {
  reject(file.path,
         "{}: expected the states of all layers, got those of one ({}): name the files of the other layers, "
         "too, or save all, in Python: "
         "save_file({{"
         "f\"hidden_states.{{i}}\": h.contiguous() for i, h in enumerate(outputs.hidden_states)}}, "
         "\"new.safetensors\"); "
         "if it is a stack, say which axis is which with --layout",
         describe(item), why);
}

bool is_power_of_two(index n) { return n > 0 && (n & (n - 1)) == 0; }

axis_reading by_shape(const tensor_file& file, const tensor& item) {
  if (item.shape.size() == 3 && item.shape[0] == 1) reject_lone(file, item, "[1][token][dim]");
  const auto name = name_of(file, item);
  const auto all = stack_readings(item.shape.size());
  std::vector<axis_order> possible;
  for (const auto& axes : all)
    if (may_be(item, axes)) possible.push_back(axes);
  // Eight, sixteen ... of something are sequences of a batch more often than layers.
  const index first = item.shape.front();
  if (is_power_of_two(first) && first >= 8 && !means_stack(name) && !possible.empty() &&
      possible.front() == all.front())
    reject_open(file, item, all, fmt::format("{} layers or a batch of {}", first, first));
  // torch.stack(outputs.hidden_states), of fewer sequences than layers.
  const bool stacked = item.shape.size() == 4 && !possible.empty() && possible.front() == all.front();
  if (stacked && first > item.shape[1])
    return {all.front(), "by its shape, as torch.stack(outputs.hidden_states) makes it", true};
  if (possible.size() > 1) {
    // L + 1 states of an even number of layers, and tokens cut to a round number: 81 x 16, 33 x 64.
    const bool rounded = item.shape.size() == 3 && first % 2 == 1 && item.shape[1] % 8 == 0;
    if (rounded && possible.front() == layer_major) possible.resize(1);
  }
  if (possible.size() != 1) reject_open(file, item, possible.empty() ? all : possible, "which axis is which is open");
  return {possible.front(), "by its shape", true};
}

/// The readings that fit what stands beside the tensor.
std::vector<axis_order> fitting(const tensor& item, const companions& beside, const std::vector<axis_order>& readings) {
  std::vector<axis_order> result;
  for (const auto& axes : readings)
    if (beside.fit(size_of(item, axes, axis::batch), size_of(item, axes, axis::token), has(axes, axis::batch)))
      result.push_back(axes);
  return result;
}

/// Files differ in that axis: it is that of tokens, unless the other is as long as a batch, or as sequences are cut.
axis_reading by_token_axis(const tensor_file& file, const tensor& item, std::size_t token_axis) {
  const auto& axes = token_axis == 0 ? token_major : layer_major;
  const index states = size_of(item, axes, axis::layer);
  const bool stack = means_stack(name_of(file, item)) ? !(is_power_of_two(states) && states >= 8) : states % 2 == 1;
  if (states >= 2 && states <= likely_states && stack)
    return {axes, "the axis that differs between files is that of tokens", true};
  reject_open(file, item, {layer_major, token_major}, "layers, or a batch");
}

axis_reading by_companions(const tensor_file& file, const tensor& item, const companions& beside) {
  auto readings = stack_readings(item.shape.size());
  const auto find_fits = [&] {
    auto found = fitting(item, beside, readings);
    std::erase_if(found, [&](const axis_order& axes) { return size_of(item, axes, axis::layer) < 2; });
    return found;
  };
  auto fits = find_fits();
  if (item.shape.size() == 4 && fits.empty()) {  // tokens before the batch
    readings = {{axis::layer, axis::token, axis::batch, axis::dim},
                {axis::token, axis::layer, axis::batch, axis::dim},
                {axis::token, axis::batch, axis::layer, axis::dim}};
    fits = find_fits();
  }
  const bool one_layer = item.shape.size() == 3 && !fitting(item, beside, {one_batch}).empty();
  const auto why = fmt::format("as {} tells", beside.who_tells());
  if (fits.size() == 1 && !one_layer) return {fits.front(), why};
  if (fits.empty() && one_layer) reject_lone(file, item, fmt::format("[batch][token][dim], {}", why));
  if (fits.empty())
    reject(file.path,
           "{}: its axes do not fit {}, which counts {}: say which is which with --layout, as in --layout '{}'",
           describe(item), beside.who_tells(), beside.lengths_text(), text_of(readings.front()));
  // As many states as tokens. vLLM's files have these two tensors, no metadata, and the tokens first.
  const bool token_first = std::ranges::find(fits, token_major) != fits.end();
  if (item.name == "hidden_states" && beside.is_of_vllm && token_first) return {token_major, "as vLLM writes it"};
  reject_open(file, item, fits, fmt::format("{} leaves open which axis is which", beside.who_tells()));
}

axis_reading checked(const tensor_file& file, const tensor& item, axis_reading reading) {
  if (reading.axes.size() != item.shape.size())
    reject(file.path, "{}: expected as many dimensions as --layout names, {}, got {}", describe(item),
           text_of(reading.axes), item.shape.size());
  if (const index states = size_of(item, reading.axes, axis::layer); states > most_states)
    reject(file.path, "expected at most {} layers, got {} in {}: is it --layout {}?", most_states, states,
           describe(item), reading.axes.front() == axis::layer ? "token-major" : "layer-major");
  return reading;
}

}  // namespace

std::optional<axis_order> parse_axes(std::string_view spelling) {
  auto words = lower_case(spelling);  // [Layers][tokens][dim], layer_major
  std::ranges::replace(words, '_', '-');
  for (std::size_t at; (at = words.find("s]")) != std::string::npos;) words.erase(at, 1);
  std::string_view text = words;
  if (text == "layer-major") return layer_major;
  if (text == "token-major") return token_major;
  axis_order axes;
  while (!text.empty()) {
    const auto end = text.find(']');
    if (text.front() != '[' || end == std::string_view::npos) return std::nullopt;
    const auto word = text.substr(1, end - 1);
    const auto* const found = std::ranges::find(names, word, &std::pair<axis, std::string_view>::second);
    if (found == names.end() || has(axes, found->first)) return std::nullopt;
    axes.push_back(found->first);
    text.remove_prefix(end + 1);
  }
  return has(axes, axis::token) && has(axes, axis::dim) ? std::optional(axes) : std::nullopt;
}

std::string text_of(const axis_order& axes) {
  std::string text;
  for (const auto which : axes)
    text += fmt::format("[{}]", std::ranges::find(names, which, &std::pair<axis, std::string_view>::first)->second);
  return text;
}

bool has(const axis_order& axes, axis which) { return std::ranges::find(axes, which) != axes.end(); }

index size_of(const tensor& item, const axis_order& axes, axis which) {
  const auto place = std::ranges::find(axes, which) - axes.begin();
  return place < std::ssize(axes) && place < std::ssize(item.shape) ? item.shape[static_cast<std::size_t>(place)] : 1;
}

bool may_be_stack(const tensor& item) {
  return item.shape.size() > 2 &&
         std::ranges::any_of(stack_readings(item.shape.size()), [&](const auto& axes) { return may_be(item, axes); });
}

axis_reading axes_of_stack(const tensor_file& file, const tensor& item, const companions& beside,
                           const std::optional<axis_order>& asked, const std::optional<axis_order>& stated,
                           std::optional<std::size_t> token_axis) {
  if (asked) {
    if (asked->size() == item.shape.size() && !has(*asked, axis::layer))
      reject_lone(file, item, "--layout has no [layer]");
    return checked(file, item, {*asked, "as --layout says"});
  }
  if (stated && stated->size() == item.shape.size() && beside.tell_tokens() && fitting(item, beside, {*stated}).empty())
    reject(file.path,
           "{}: the metadata says {}, but {} counts {}: say which axis is which with --layout, or leave a "
           "mask out with --mask none",
           describe(item), text_of(*stated), beside.who_tells(), beside.lengths_text());
  if (stated) return checked(file, item, {*stated, "as the metadata says"});
  const auto name = name_of(file, item);
  if (means_last_state(name) || (item.shape.size() == 3 && means_one_layer(name)))
    reject_lone(file, item, "by its name");
  if (item.shape.size() != 3 && item.shape.size() != 4)
    reject(file.path, "expected a stack of three or four dimensions, got {}", describe(item));

  if (beside.tell_tokens()) return checked(file, item, by_companions(file, item, beside));
  if (token_axis && item.shape.size() == 3 && *token_axis < 2) return by_token_axis(file, item, *token_axis);
  return checked(file, item, by_shape(file, item));
}

axis_reading axes_of_layer(const tensor_file& file, const tensor& item, const companions& beside,
                           const std::optional<axis_order>& asked, const std::optional<axis_order>& stated) {
  if (asked && asked->size() == item.shape.size()) {
    if (!has(*asked, axis::layer)) return {*asked, "as --layout says"};
    reject(file.path,
           "--layout {}: expected the axes of one layer, [batch][token][dim] or [token][batch][dim], since "
           "{} is one of "
           "several; if it is a stack, choose it with --tensor",
           text_of(*asked), describe(item));
  }
  if (item.shape.size() == 2) return {{axis::token, axis::dim}, "a matrix a layer"};
  const axis_order batch_second{axis::token, axis::batch, axis::dim};
  if (stated && stated->size() == item.shape.size() && !has(*stated, axis::layer))
    return {*stated, "as the metadata says"};
  if (item.shape[1] == 1 && item.shape[0] > 1) return {batch_second, "one tensor a layer, of one sequence"};
  const bool first = beside.fit(item.shape[0], item.shape[1], true);
  const bool second = beside.fit(item.shape[1], item.shape[0], true);
  if (beside.tell_tokens() && second && !first) return {batch_second, fmt::format("as {} tells", beside.who_tells())};
  if (beside.tell_tokens() && !first)
    reject(file.path,
           "{}: expected [batch][token][dim] as {} tells, {}: say which axis is which with --layout, as in "
           "--layout '[token][batch][dim]'",
           describe(item), beside.who_tells(), beside.lengths_text());
  return {one_batch, "one tensor a layer, as outputs.hidden_states has them", !beside.tell_tokens()};
}

std::string describe(const tensor& item) {
  const auto what = fmt::format("{} {}", shape_text(item.shape), name_of(item.dtype));
  return item.name.empty() ? what : fmt::format("{} ({})", in_quotes(item.name), what);
}

}  // namespace examples::dumps
