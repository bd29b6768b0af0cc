#include "dumps/division.hpp"

#include "common/input_error.hpp"
#include "dumps/layer_names.hpp"

#include <algorithm>
#include <cstddef>
#include <set>
#include <span>

namespace examples::dumps {
namespace {

/// Whether the token ids or masks beside all parts count the sequences of a batch of one layer.
bool tell_batches(const std::vector<file_part>& parts) {
  const auto& shape = parts.front().items.front()->shape;
  return std::ranges::all_of(
      parts, [&](const auto& p) { return p.beside.tell_tokens() && p.beside.fit(shape[0], shape[1], true); });
}

/// Whether all parts have token ids of one sequence, which fit the tokens of a stack.
bool tell_one_prompt_each(const std::vector<file_part>& parts) {
  return std::ranges::all_of(parts, [](const auto& p) {
    return p.beside.ids && p.beside.ids->shape.size() == 1 && p.items.front()->shape[0] > 1;
  });
}

/// Whether files of one tensor of three dimensions each are batches of one layer: else stacks, of some tokens.
bool are_layers(const std::vector<file_part>& parts, const std::optional<axis_order>& told) {
  if (told) return !has(*told, axis::layer);
  const auto& first = parts.front();
  const auto& item = *first.items.front();
  const auto& shape = item.shape;
  if (shape.size() != 3) return false;
  const auto names = layer_names_of(parts);
  const bool tensor_is_last = means_last_state(item.name);
  const bool one_shape = std::ranges::all_of(parts, [&](const auto& p) { return p.items.front()->shape == shape; });
  const bool ordered = !tensor_is_last && order_by_meaning(names).has_value();
  if (ordered && speak_of_layers(names) && !one_shape)
    reject(first.file->path, "expected layers of one shape, as their names say that they are, got {} and others",
           describe(item));
  const bool batches = !may_be_stack(item);  // [1][token][dim]
  if (ordered && one_shape) {
    if (shape[0] > 1 && tell_batches(parts)) return true;
    // hidden_states_3 may be the fourth layer, or the fourth stack.
    const bool may_be_stacks =
        !batches && std::ranges::all_of(names, [](const auto& n) { return n.find("states") != std::string::npos; });
    if (!may_be_stacks && (speak_of_layers(names) || batches)) return true;
  }
  if (tell_one_prompt_each(parts) || !one_shape || tensor_is_last) return false;
  // A name that all files share says what each of them is.
  if (means_stack(item.name) && !batches) return false;
  reject(first.file->path,
         "{} and {} more files like it: say --layout layer-major if each is a stack of {} layers "
         "([layer][token][dim]; "
         "token-major: [token][layer][dim]), or --layout '[batch][token][dim]' if each is one layer",
         describe(item), parts.size() - 1, shape[0]);
}

/// The one axis on which stacks in several files differ: a model has as many layers every time.
std::optional<std::size_t> axis_that_varies(const std::vector<file_part>& parts) {
  std::optional<std::size_t> result;
  const auto& first = parts.front().items.front()->shape;
  for (const auto& part : parts) {
    const auto& shape = part.items.front()->shape;
    for (std::size_t i = 0; i < std::min(first.size(), shape.size()); ++i) {
      if (shape[i] == first[i]) continue;
      if (result && *result != i) return std::nullopt;
      result = i;
    }
  }
  return result;
}

bool are_shards(const std::vector<file_part>& parts) {
  const auto& first = parts.front();
  if (std::ranges::all_of(parts, holds_one)) {
    const std::set<std::string> names = [&] {
      std::set<std::string> all;
      for (const auto& part : parts) all.insert(part.items.front()->name);
      return all;
    }();
    if (names.size() == 1 && means_last_state(*names.begin()))
      reject(first.file->path, "expected the states of all layers, got {} in each file, those of one",
             in_quotes(*names.begin()));
    if (names.size() == 1 || names.size() == parts.size()) return false;
  }
  const auto set_of = [](const file_part& part) {
    const auto names = item_names(part);
    return std::set<std::string>(names.begin(), names.end());
  };
  const auto expected = set_of(first);
  if (std::ranges::all_of(parts, [&](const auto& part) { return set_of(part) == expected; })) return true;
  auto seen = expected;
  for (const auto& part : std::span(parts).subspan(1)) {
    const auto names = set_of(part);
    const auto distinct = seen.size() + names.size();
    seen.insert(names.begin(), names.end());
    if (seen.size() != distinct)
      reject(part.file->path,
             "expected the tensor names of {} (shards of tokens) or no name of another file (different "
             "layers), got {}{}",
             first.file->path, in_quotes(*names.begin()), names.size() > 1 ? ", ..." : "");
  }
  return false;
}

}  // namespace

std::vector<std::string> layer_names_of(const std::vector<file_part>& parts) {
  std::vector<std::string> names, stems;
  for (const auto& part : parts) {
    for (const auto& name : item_names(part)) names.push_back(name);
    if (holds_one(part)) stems.push_back(stem_of(*part.file));
  }
  const std::set<std::string> different(names.begin(), names.end());
  return different.size() == 1 && stems.size() == parts.size() && parts.size() > 1 ? stems : names;
}

division divide(std::vector<file_part>& parts, const std::optional<axis_order>& asked,
                const std::optional<axis_order>& stated) {
  const bool several = parts.size() > 1;
  division result{true, false};
  if (holds_one(parts.front()) && parts.front().items.front()->shape.size() > 2)
    result.layers = several && are_layers(parts, asked ? asked : stated);
  const auto token_axis = axis_that_varies(parts);
  for (auto& part : parts) {
    const auto& item = *part.items.front();
    part.axes = result.layers ? axes_of_layer(*part.file, item, part.beside, asked, stated)
                              : axes_of_stack(*part.file, item, part.beside, asked, stated, token_axis);
  }
  result.shards = !result.layers || (several && are_shards(parts));
  return result;
}

}  // namespace examples::dumps
