#include "dumps/selection.hpp"

#include "common/input_error.hpp"
#include "dumps/layer_names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>

namespace examples::dumps {
namespace {

using tensors = std::vector<const tensor*>;

std::string describe(const tensors& items) {
  constexpr std::size_t most = 4;
  std::string text;
  for (std::size_t i = 0; i < std::min(items.size(), most); ++i) text += (i == 0 ? "" : ", ") + describe(*items[i]);
  if (items.size() > most) text += fmt::format(" and {} more", items.size() - most);
  return text.empty() ? "none" : text;
}

std::vector<std::string> names_of(const tensors& items) {
  std::vector<std::string> names;
  for (const auto* item : items) names.push_back(item->name);
  return names;
}

tensors of_rank(const tensors& items, std::size_t rank) {
  tensors result;
  std::ranges::copy_if(items, std::back_inserter(result), [&](const tensor* t) { return t->shape.size() == rank; });
  return result;
}

/// A layer that is not among the others, because its type or shape is another, would leave a gap unseen.
void refuse_gap(const tensor_file& file, const tensors& taken) {
  for (const auto& item : file.tensors) {
    if (std::ranges::find(taken, &item) != taken.end() || item.shape.size() < 2 || is_integer(item.dtype)) continue;
    const bool sibling =
        std::ranges::any_of(taken, [&](const tensor* t) { return differ_in_numbers(t->name, item.name); });
    const bool end =
        item.shape == taken.front()->shape && item.dtype != taken.front()->dtype && means_first_or_last(item.name);
    if (sibling || end)
      reject(file.path,
             "expected layers of one shape and type, got {} and {}: choose with --tensors NAME,NAME,... (* "
             "stands "
             "for anything)",
             describe(*taken.front()), describe(item));
  }
}

/// Those of one shape and type whose names are those of layers. Of several such groups none is taken for another.
tensors layers_among(const tensor_file& file, const tensors& items) {
  std::map<std::pair<std::vector<index>, data_type>, tensors> groups;
  for (const auto* item : items) groups[{item->shape, item->dtype}].push_back(item);
  if (groups.size() == 1) return items;
  std::vector<const tensors*> layered;
  for (const auto& [shape, group] : groups) {
    const auto order = order_by_meaning(names_of(group));
    if (order && order->order.size() > 1) layered.push_back(&group);
  }
  if (layered.size() == 1) return *layered.front();
  const auto& first = groups.begin()->second;
  const auto& second = std::next(groups.begin())->second;
  reject(file.path,
         "expected one tensor of all layers, or tensors of one shape and type, one a layer, got {} and {}: "
         "choose with --tensor NAME or --tensors NAME,NAME,... (* stands for anything)",
         describe(tensors{first.front()}), describe(tensors{second.front()}));
}

selection without(const tensors& taken, const tensors& all) {
  selection result{taken, {}};
  for (const auto* item : all)
    if (std::ranges::find(taken, item) == taken.end()) result.left_out.push_back(item->name);
  return result;
}

tensors asked_for(const tensor_file& file, const std::vector<std::string>& patterns, const tensors& all) {
  tensors result;
  for (const auto& pattern : patterns) {
    tensors found;
    for (const auto* item : all)
      if (matches(item->name, pattern)) found.push_back(item);
    if (found.empty()) reject(file.path, "--tensors {}: expected the name of a tensor, got {}", pattern, describe(all));
    if (found.size() > 1) {
      const auto order = order_by_meaning(names_of(found));
      if (!order || !order->left_out.empty())
        reject(file.path, "--tensors {}: expected the names of layers of one kind, got {}: name them one by one",
               pattern, describe(found));
      const auto unordered = found;
      for (std::size_t i = 0; i < found.size(); ++i) found[i] = unordered[order->order[i]];
    }
    result.insert(result.end(), found.begin(), found.end());
  }
  for (const auto* item : result)
    if (item->shape != result.front()->shape || item->dtype != result.front()->dtype)
      reject(file.path, "--tensors: expected tensors of one shape and type, got {} and {}",
             describe(tensors{result.front()}), describe(tensors{item}));
  return result;
}

tensors with_prefix(const tensor_file& file, const std::string& wanted, const tensors& all) {
  tensors result;
  for (const auto* item : all)
    if (item->name == wanted) return {item};
  std::ranges::copy_if(all, std::back_inserter(result), [&](const tensor* t) { return t->name.starts_with(wanted); });
  if (result.empty())
    reject(file.path, "expected a floating-point tensor named {}, or one a layer with names that begin so, got {}",
           in_quotes(wanted), describe(all));
  return layers_among(file, result);
}

bool is_weight(const tensor& item) { return item.name.ends_with(".weight") || item.name.ends_with(".bias"); }

bool has_name_of_stack(const tensor* item) {
  return means_stack(item->name) && !numbers_a_layer(item->name) && !means_one_layer(item->name);
}

/// Of the tensors that could be states (`all`), those whose names do not say otherwise.
tensors likely_states(const tensor_file& file, const tensors& all) {
  tensors states;
  std::ranges::copy_if(all, std::back_inserter(states),
                       [](const tensor* t) { return t->shape.size() <= 4 && !means_no_state(t->name); });
  const bool weights = std::ranges::any_of(file.tensors, is_weight);
  const bool block_weights =
      std::ranges::any_of(file.tensors, [](const tensor& t) { return is_weight(t) && numbers_a_layer(t.name); });
  const bool named =
      std::ranges::any_of(states, has_name_of_stack) || (!block_weights && speak_of_layers(names_of(states)));
  if (!states.empty() && (named || !weights)) return states;
  tensors everything;
  for (const auto& item : file.tensors) everything.push_back(&item);
  reject(file.path,
         "expected a floating-point tensor of all layers, of three or four dimensions, or one a layer, got "
         "{}{}",
         describe(everything),
         weights       ? ": these are a model's weights; its hidden states come from running it "
                         "(examples/python/dump_hidden_states.py)"
         : all.empty() ? ""
                       : ": if they are hidden states, name them with --tensors NAME,NAME,...");
}

/// The states by their number of dimensions.
struct ranked_states {
  tensors four, three, two;

  explicit ranked_states(const tensors& states)
      : four(of_rank(states, 4)), three(of_rank(states, 3)), two(of_rank(states, 2)) {}
};

/// The one stack: that is called so, or that is alone.
tensors only_stack(const tensor_file& file, const tensors& states, const ranked_states& of) {
  tensors stacks;
  std::ranges::copy_if(states, std::back_inserter(stacks),
                       [](const tensor* t) { return t->shape.size() > 2 && has_name_of_stack(t); });
  if (stacks.size() > 1)
    reject(file.path, "expected one stack of layers, got {}: choose with --tensor NAME", describe(stacks));
  if (!stacks.empty()) return stacks;
  if (of.two.empty() && of.three.empty() && of.four.size() == 1) return of.four;
  if (of.two.empty() && of.four.empty() && of.three.size() == 1) return of.three;
  return {};
}

/// One tensor a layer, of three dimensions or two.
tensors layers_of(const tensor_file& file, const tensors& states, const ranked_states& of,
                  const stack_options& options) {
  // What is named after matrices, as layer_0.k after layer_0, is a part of their blocks.
  const bool parts = std::ranges::all_of(of.three, [&](const tensor* part) {
    return std::ranges::any_of(of.two, [&](const tensor* t) { return part->name.starts_with(t->name); });
  });
  for (const auto& group : parts ? std::vector<tensors>{of.two} : std::vector<tensors>{of.three, of.two}) {
    if (group.size() < 2) continue;
    if (!speak_of_layers(names_of(group)) && group.size() < states.size()) continue;
    auto taken = layers_among(file, group);
    const bool may_be_stacks = !speak_of_layers(names_of(taken)) && may_be_stack(*taken.front()) &&
                               std::ssize(taken) <= taken.front()->shape[0];
    if (may_be_stacks && !options.layout)
      reject(file.path,
             "{} and {} more like it: say --layout '[batch][token][dim]' if each is one layer; if each is a stack of "
             "layers, "
             "choose one with --tensor NAME",
             describe(*taken.front()), taken.size() - 1);
    refuse_gap(file, taken);
    return taken;
  }
  return {};
}

}  // namespace

selection select_states(const tensor_file& file, const stack_options& options) {
  tensors all;
  for (const auto& item : file.tensors)
    if (can_be_profiled(item.dtype) && item.shape.size() >= 2) all.push_back(&item);
  if (!options.tensors.empty()) return without(asked_for(file, options.tensors, all), all);
  if (!options.tensor.empty()) return without(with_prefix(file, options.tensor, all), all);

  // A stack that is called so comes before layers, and these before any other tensor of three or four dimensions.
  const auto states = likely_states(file, all);
  const ranked_states of(states);
  if (const auto stack = only_stack(file, states, of); !stack.empty()) return without(stack, all);
  if (const auto layers = layers_of(file, states, of, options); !layers.empty()) return without(layers, all);
  if (states.size() == 1) return without(states, all);
  // One of three or four dimensions beside matrices, as a stack beside a table of positions.
  if (of.three.size() + of.four.size() == 1) return without(of.three.empty() ? of.four : of.three, all);
  reject(file.path,
         "expected one tensor of all layers, or one a layer, got {}: choose with --tensor NAME or --tensors "
         "NAME,NAME,... "
         "(* stands for anything)",
         describe(states));
}

}  // namespace examples::dumps
