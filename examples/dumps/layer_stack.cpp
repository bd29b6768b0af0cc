#include "dumps/layer_stack.hpp"

#include "common/input_error.hpp"
#include "dumps/division.hpp"
#include "dumps/file_part.hpp"
#include "dumps/metadata.hpp"
#include "dumps/ordering.hpp"
#include "dumps/shards.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>

namespace examples::dumps {
namespace {

/// Every part has the first one's dimensions and type, and its tokens or its number of states too where asked.
void check_agreement(const std::vector<file_part>& parts, bool same_tokens, bool same_states) {
  const auto facts = [](const file_part& part) {
    const auto& item = *part.items.front();
    const auto& axes = part.axes.axes;
    const index states = is_stack(part) ? size_of(item, axes, axis::layer) : std::ssize(part.items);
    return std::tuple(item.dtype, size_of(item, axes, axis::dim),
                      size_of(item, axes, axis::batch) * size_of(item, axes, axis::token), states);
  };
  const auto [dtype, dims, tokens, states] = facts(parts.front());
  for (const auto& part : parts) {
    const auto [its_dtype, its_dims, its_tokens, its_states] = facts(part);
    if (its_dtype == dtype && its_dims == dims && (!same_tokens || its_tokens == tokens) &&
        (!same_states || its_states == states))
      continue;
    reject(part.file->path,
           "expected the {}, dimensions and type as {} has, got {} states of {} tokens x {} dimensions, {}",
           same_tokens ? "tokens" : "states", parts.front().file->path, its_states, its_tokens, its_dims,
           name_of(its_dtype));
  }
}

/// The shards of all files, and what the layers are called.
struct joined_files {
  std::vector<token_shard> shards;
  std::vector<index> numbers;  // empty: from 0 on
  reading taken;

  void add(const companions& beside, const tensor_file& file, const token_block& block) {
    auto more = shards_of(block);
    put_companions(beside, file, more);
    for (auto& shard : more) shards.push_back(std::move(shard));
  }
};

joined_files join_stacks(const std::vector<file_part>& parts, const stack_options& options) {
  const auto& first = parts.front();
  const auto& name = first.items.front()->name;
  joined_files result;
  for (const auto& part : parts) {
    const auto* const item = part.items.front();
    if (options.tensors.empty() && item->name != name)
      reject(part.file->path, "expected the tensor {} as in {}, got {}: choose with --tensors NAME,NAME",
             in_quotes(name), first.file->path, in_quotes(item->name));
    token_block block{&part, {}};
    for (index layer = 0; layer < size_of(*item, part.axes.axes, axis::layer); ++layer)
      block.layers.emplace_back(item, layer);
    result.add(part.beside, *part.file, block);
  }
  result.taken.states = {name_of(*first.file, *first.items.front())};
  return result;
}

/// What stands beside files of layers of the same tokens: that of the first that has any.
const file_part& telling_part(const std::vector<file_part>& parts) {
  const auto telling = std::ranges::find_if(parts, [](const auto& part) { return part.beside.tell_tokens(); });
  const auto& told_by = telling == parts.end() ? parts.front() : *telling;
  for (const auto& part : parts)
    if (part.beside.mask && part.beside.keep != told_by.beside.keep)
      reject(part.file->path, "expected the mask of {}, got another: the files hold layers of the same tokens",
             told_by.file->path);
  return told_by;
}

/// Adds the layers of files that hold those of the same tokens.
void join_layers(const std::vector<file_part>& parts, const stack_options& options, joined_files& result) {
  const auto names = layer_names_of(parts);
  std::vector<const tensor*> items;
  for (const auto& part : parts) items.insert(items.end(), part.items.begin(), part.items.end());
  const auto ordered = order_layers(parts.front().file->path, names, items.front()->name.empty(), options);
  token_block block{&parts.front(), {}};
  auto& taken = result.taken;
  taken.states.clear(), taken.left_out.clear();
  for (const auto i : ordered.order) {
    block.layers.emplace_back(items[i], 0);
    taken.states.push_back(names[i]);
  }
  for (const auto i : ordered.left_out) taken.left_out.push_back(names[i]);
  taken.order_because = ordered.because;
  result.numbers = ordered.numbers;
  const auto& told_by = telling_part(parts);
  result.add(told_by.beside, *told_by.file, block);
}

joined_files join(const std::vector<file_part>& parts, const division& divided, const stack_options& options) {
  if (!divided.layers) return join_stacks(parts, options);
  joined_files result;
  if (divided.shards)
    for (const auto& part : parts) join_layers({part}, options, result);
  else
    join_layers(parts, options, result);
  return result;
}

index count_tokens(const std::vector<token_shard>& shards) {
  index tokens = 0;
  for (const auto& shard : shards) {
    if (shard.tokens > std::numeric_limits<index>::max() - tokens)
      reject(shard.path, "expected fewer than 2^63 tokens in all the files, got more");
    tokens += shard.tokens;
  }
  return tokens;
}

/// The numbers of the states: those asked for, those of their names, else 0 ... L.
std::vector<index> numbers_of_states(const std::string& path, index states, std::vector<index> named,
                                     const std::vector<index>& asked) {
  if (!asked.empty() && std::ssize(asked) != states)
    reject(path, "--layer-numbers: expected one for each of the {} states, got {}", states, asked.size());
  if (!asked.empty()) return asked;
  if (std::ssize(named) == states) return named;
  named.resize(static_cast<std::size_t>(states));
  std::iota(named.begin(), named.end(), index{0});
  return named;
}

/// The rest of what the user may want to see.
void note_reading(const std::vector<tensor_file>& files, const std::vector<file_part>& parts, reading& taken) {
  const auto& first = parts.front();
  taken.axes = text_of(first.axes.axes);
  taken.axes_because = first.axes.why;
  taken.axes_assumed = taken.assumed = std::ranges::any_of(parts, [](const auto& part) { return part.axes.assumed; });
  for (const auto& part : parts)
    if (part.beside.mask) taken.mask = part.beside.mask->name;
  taken.left_out.insert(taken.left_out.end(), first.left_out.begin(), first.left_out.end());
  for (const auto& file : files)
    if (!file.remark.empty() && std::ranges::find(taken.remarks, file.remark) == taken.remarks.end())
      taken.remarks.push_back(file.remark), taken.assumed = true;
}

}  // namespace

layer_stack stack_layers(std::vector<tensor_file> files, const stack_options& options) {
  if (files.empty()) reject("input", "expected at least one file, got none");
  const auto stated = options.layout ? std::nullopt : stated_layout(files);
  auto parts = parts_of(files, options);
  const auto divided = divide(parts, options.layout, stated);
  check_agreement(parts, !divided.shards, divided.shards);
  auto joined = join(parts, divided, options);

  const index tokens = count_tokens(joined.shards), states = std::ssize(joined.shards.front().states);
  const auto& path = joined.shards.front().path;
  if (states < 2)
    reject(path, "expected the states of at least two layers (the first layer's input and output), got {}", states);
  auto numbers = numbers_of_states(path, states, std::move(joined.numbers), options.numbers);
  note_reading(files, parts, joined.taken);
  const auto& item = *parts.front().items.front();
  const auto dtype = item.dtype;
  const index dimensions = size_of(item, parts.front().axes.axes, axis::dim);
  const auto final_norm = options.final_norm_is_known ? std::nullopt : stated_final_norm(files);
  const auto sequence_length = options.sequences_are_known ? std::nullopt : stated_sequence_length(files);
  return {dtype,
          states,
          tokens,
          dimensions,
          std::move(joined.shards),
          std::move(files),
          final_norm,
          sequence_length,
          std::move(numbers),
          std::move(joined.taken)};
}

}  // namespace examples::dumps
