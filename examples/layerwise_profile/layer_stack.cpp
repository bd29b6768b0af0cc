#include "layer_stack.hpp"

#include "companions.hpp"
#include "input_error.hpp"
#include "layer_names.hpp"
#include "selection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <functional>
#include <limits>
#include <numeric>
#include <set>
#include <string_view>

namespace layerwise_profile {
namespace {

// ---- metadata

/// The value of a metadata key on which all files that have it agree.
std::optional<std::string> agreed_metadata(std::span<const tensor_file> files, const std::string& key) {
  const tensor_file* first = nullptr;
  for (const auto& file : files) {
    if (!file.metadata.contains(key)) continue;
    if (first == nullptr) first = &file;
    if (file.metadata.at(key) != first->metadata.at(key))
      reject(file.path, "__metadata__: {}: expected {} as in {}, got {}", key, in_quotes(first->metadata.at(key)),
             first->path, in_quotes(file.metadata.at(key)));
  }
  return first == nullptr ? std::nullopt : std::optional(first->metadata.at(key));
}

[[noreturn]] void reject_metadata(std::span<const tensor_file> files, const std::string& key, std::string_view expected,
                                  std::string_view got) {
  const auto file = std::find_if(files.begin(), files.end(), [&](auto& f) { return f.metadata.contains(key); });
  reject(file->path, "__metadata__: {}: expected {}, got {}", key, expected, in_quotes(got));
}

std::optional<axis_order> layout_of(std::span<const tensor_file> files) {
  const auto text = agreed_metadata(files, "layout");
  if (!text) return std::nullopt;
  if (auto axes = parse_axes(*text)) return axes;
  reject_metadata(files, "layout",
                  "layer-major or token-major, or axes as in [layer][batch][token][dim] (or say --layout)", *text);
}

std::optional<std::string> final_norm_of(std::span<const tensor_file> files) {
  auto text = agreed_metadata(files, "final_norm");
  if (text && *text != "before" && *text != "after")
    reject_metadata(files, "final_norm", "before or after (or say --final-norm)", *text);
  return text;
}

std::optional<index> sequence_length_of(std::span<const tensor_file> files) {
  const auto text = agreed_metadata(files, "sequence_length");
  if (!text) return std::nullopt;
  index value = 0;
  const auto [end, status] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (status != std::errc{} || end != text->data() + text->size() || value < 1)
    reject_metadata(files, "sequence_length", "a positive integer (or say --sequence-length)", *text);
  return value;
}

// ---- what one file holds

struct file_part {
  const tensor_file* file;
  std::vector<const tensor*> items;  // one stack, or one tensor a layer
  std::vector<std::string> left_out;
  companions beside;
  axis_reading axes;  // of each item
};

std::vector<std::string> item_names(const file_part& part) {
  std::vector<std::string> names;
  for (const auto* item : part.items) names.push_back(item->name);
  return names;
}

bool holds_one(const file_part& part) { return part.items.size() == 1; }
bool is_stack(const file_part& part) { return has(part.axes.axes, axis::layer); }

std::filesystem::path folder_of(const tensor_file& file) { return std::filesystem::path(file.path).parent_path(); }

struct division_of_files {
  std::vector<const tensor_file*> states, beside;
};

/// Files that hold integers only are masks and token ids of the others in their folder, where their names say so.
division_of_files states_and_companions(std::span<const tensor_file> files) {
  division_of_files result;
  for (const auto& file : files) {
    const bool is_array = file.format == file_format::npy;
    const bool integers = is_array && is_integer(file.tensors.front().dtype);
    if (integers && !is_companion(stem_of(file)))
      reject(file.path,
             "expected hidden states in floating point, got {}: if it is a mask of the tokens, say --mask "
             "{}; if not, "
             "leave it out of the command line, or out of the folder",
             describe(file.tensors.front()), file.path);
    if (is_array && !integers && means_no_state(stem_of(file)))
      reject(file.path,
             "expected hidden states, got {} of that name: leave it out of the command line, or out of the "
             "folder; a mask "
             "is of integers",
             describe(file.tensors.front()));
    (integers ? result.beside : result.states).push_back(&file);
  }
  for (const auto* file : result.beside)
    if (std::ranges::none_of(result.states, [&](const auto* s) { return folder_of(*s) == folder_of(*file); }))
      reject(file->path, "expected hidden states beside it, got none");
  return result;
}

/// The companions in the folder of a file of states as its tensors, with the names of their files.
tensor_file beside_file(const tensor_file& states, const std::vector<const tensor_file*>& others) {
  tensor_file result{states.path, states.format, states.metadata, states.tensors, nullptr, {}, {}};
  for (const auto* other : others) {
    if (folder_of(*other) != folder_of(states)) continue;
    result.tensors.push_back(other->tensors.front());
    result.tensors.back().name = stem_of(*other);
  }
  return result;
}

void check_one_shape(const file_part& part) {
  const auto& first = *part.items.front();
  for (const auto* item : part.items) {
    if (item->shape != first.shape || item->dtype != first.dtype)
      reject(part.file->path,
             "expected tensors of one shape and type for the layers, got {} and {}: choose with --tensors",
             describe(first), describe(*item));
    if (item->bytes.empty()) reject(part.file->path, "expected no dimension to be 0, got {}", describe(*item));
  }
}

// ---- whether several files hold layers or shards of tokens

enum class division { shards, layers };

/// What names the layers of files that hold one each: their tensors, or, where these all have one name or none, the
/// files themselves.
std::vector<std::string> layer_names_of(const std::vector<file_part>& parts) {
  std::vector<std::string> names, stems;
  for (const auto& part : parts) {
    for (const auto& name : item_names(part)) names.push_back(name);
    if (holds_one(part)) stems.push_back(stem_of(*part.file));
  }
  const std::set<std::string> different(names.begin(), names.end());
  return different.size() == 1 && stems.size() == parts.size() && parts.size() > 1 ? stems : names;
}

/// Files of one tensor of three dimensions each: stacks of some tokens, or batches of one layer?
division divide_tensors(const std::vector<file_part>& parts, const std::optional<axis_order>& told) {
  if (told) return has(*told, axis::layer) ? division::shards : division::layers;
  const auto& first = parts.front();
  const auto& shape = first.items.front()->shape;
  const auto names = layer_names_of(parts);
  const bool tensor_is_last = means_last_state(first.items.front()->name);
  const bool one_shape = std::ranges::all_of(parts, [&](const auto& p) { return p.items.front()->shape == shape; });
  const bool ordered = !tensor_is_last && order_by_meaning(names).has_value();
  if (shape.size() != 3) return division::shards;
  if (ordered && speak_of_layers(names) && !one_shape)
    reject(first.file->path, "expected layers of one shape, as their names say that they are, got {} and others",
           describe(*first.items.front()));
  const bool batches = !may_be_stack(*first.items.front());  // [1][token][dim]
  // hidden_states_3 may be the fourth layer, or the fourth stack.
  const bool may_be_stacks =
      !batches && std::ranges::all_of(names, [](const auto& n) { return n.find("states") != std::string::npos; });
  const bool told_batches = std::ranges::all_of(
      parts, [&](const auto& p) { return p.beside.tell_tokens() && p.beside.fit(shape[0], shape[1], true); });
  if (ordered && one_shape && told_batches && shape[0] > 1) return division::layers;
  if (ordered && one_shape && !may_be_stacks && (speak_of_layers(names) || batches)) return division::layers;
  // Token ids of one sequence a file that fit the tokens of a stack.
  const bool one_prompt_each = std::ranges::all_of(parts, [&](const auto& p) {
    return p.beside.ids && p.beside.ids->shape.size() == 1 && p.items.front()->shape[0] > 1;
  });
  if (one_prompt_each || !one_shape || tensor_is_last) return division::shards;
  // A name that all files share says what each of them is.
  if (means_stack(first.items.front()->name) && !batches) return division::shards;
  reject(first.file->path,
         "{} and {} more files like it: say --layout layer-major if each is a stack of {} layers "
         "([layer][token][dim]; "
         "token-major: [token][layer][dim]), or --layout '[batch][token][dim]' if each is one layer",
         describe(*first.items.front()), parts.size() - 1, shape[0]);
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

division divide_matrices(const std::vector<file_part>& parts) {
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
    if (names.size() == 1 || names.size() == parts.size()) return division::layers;
  }
  const auto set_of = [](const file_part& part) {
    const auto names = item_names(part);
    return std::set<std::string>(names.begin(), names.end());
  };
  const auto expected = set_of(first);
  if (std::ranges::all_of(parts, [&](const auto& part) { return set_of(part) == expected; })) return division::shards;
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
  return division::layers;
}

// ---- from tensors to shards

/// The tokens of some layers, with the shape of their batch: what becomes one shard, or one a sequence of the batch.
struct token_block {
  const file_part* part;
  std::vector<std::pair<const tensor*, index>> layers;  // a tensor, and its element along the layer axis
};

/// The shards of a block: one, unless the sequences of its batch lie too far apart for one stride.
std::vector<token_shard> shards_of(const token_block& block) {
  const auto& axes = block.part->axes.axes;
  const auto stride = [&](const tensor& item, axis which) {
    const auto place = std::ranges::find(axes, which) - axes.begin();
    return place < std::ssize(axes) ? item.strides()[static_cast<std::size_t>(place)] : 0;
  };
  const tensor& first = *block.layers.front().first;
  const index batch = size_of(first, axes, axis::batch), tokens = size_of(first, axes, axis::token);
  const bool together = batch == 1 || std::ranges::all_of(block.layers, [&](const auto& layer) {
                          return stride(*layer.first, axis::batch) == tokens * stride(*layer.first, axis::token);
                        });
  const index length = together ? batch * tokens : tokens;
  std::vector<token_shard> result;
  for (index item = 0; item < (together ? 1 : batch); ++item) {
    token_shard shard{block.part->file->path, length, {}, {}, {}};
    if (has(axes, axis::batch)) shard.sequences.assign(static_cast<std::size_t>(length / tokens), tokens);
    for (const auto& [tensor, number] : block.layers) {
      const auto offset = number * stride(*tensor, axis::layer) + item * stride(*tensor, axis::batch);
      shard.states.push_back({tensor->bytes.data() + offset * static_cast<index>(size_of(tensor->dtype)),
                              stride(*tensor, axis::token), stride(*tensor, axis::dim)});
    }
    result.push_back(std::move(shard));
  }
  return result;
}

/// What stands beside the states, put on the shards of their block.
void put_companions(const companions& beside, const tensor_file& file, std::vector<token_shard>& shards) {
  const index tokens =
      std::accumulate(shards.begin(), shards.end(), index{0}, [](index n, const auto& s) { return n + s.tokens; });
  const auto& keep = beside.keep;
  for (const auto& candidate : beside.candidates)
    if (!beside.mask &&
        std::accumulate(candidate.shape.begin(), candidate.shape.end(), index{1}, std::multiplies<>()) == tokens)
      reject(file.path, "{} may be a mask: say --mask {} if its ones are the tokens to take, or --mask none",
             in_quotes(candidate.name), shortened(candidate.name, 80));
  std::vector<index> sequences;
  if (beside.mask && std::ssize(keep) != tokens)
    reject(file.path, "the mask {}: expected one element for each of the {} tokens, got {}; --mask none does without",
           in_quotes(beside.mask->name), tokens, shape_text(beside.mask->shape));
  for (const auto* counted : {&beside.mask, &beside.ids})
    if (*counted && (*counted)->shape.size() == 2 && sequences.empty() &&
        (*counted)->shape[0] * (*counted)->shape[1] == tokens)
      sequences.assign(static_cast<std::size_t>((*counted)->shape[0]), (*counted)->shape[1]);
  const bool one_sequence = (beside.mask && beside.mask->one_sequence) || (beside.ids && beside.ids->one_sequence) ||
                            (beside.is_of_vllm && beside.ids->shape.size() == 1);
  if (one_sequence) sequences.assign(1, tokens);
  if (beside.lengths_name) {
    const index sum = std::accumulate(beside.lengths.begin(), beside.lengths.end(), index{0});
    if (sum == tokens) {
      sequences = beside.lengths;
    } else if (!beside.mask) {  // padded to the length of the batch's token axis
      reject(file.path, "{}: sequences of {} tokens in all, where there are {}: say which are padding with --mask",
             in_quotes(*beside.lengths_name), sum, tokens);
    }
  }
  index first = 0;
  for (auto& shard : shards) {
    if (!keep.empty()) shard.keep.assign(keep.begin() + first, keep.begin() + first + shard.tokens);
    first += shard.tokens;
    if (shards.size() == 1 && !sequences.empty())
      shard.sequences = sequences;
    else if (shards.size() > 1)
      shard.sequences.assign(1, shard.tokens);
  }
}

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

// ---- the order of layers

struct ordered_layers {
  std::vector<std::size_t> order;
  std::vector<index> numbers;  // empty: from 0 on
  std::vector<std::size_t> left_out;
  std::string because;
};

/// The names' own numbers; none where they are not all known, or not rising.
std::vector<index> numbers_of(const std::vector<std::optional<index>>& named) {
  std::vector<index> numbers;
  for (const auto& number : named) {
    if (!number || (!numbers.empty() && *number <= numbers.back())) return {};
    numbers.push_back(*number);
  }
  return numbers;
}

ordered_layers order_layers(const std::string& path, const std::vector<std::string>& names, bool of_files,
                            const stack_options& options) {
  ordered_layers result;
  result.order.resize(names.size());
  std::iota(result.order.begin(), result.order.end(), std::size_t{0});
  if (names.size() < 2) return result;
  if (!options.tensors.empty() || options.order == order_rule::as_given) {
    result.because = options.tensors.empty() ? "as given" : "as --tensors names them";
    return result;
  }
  if (options.order == order_rule::by_name) {
    std::ranges::stable_sort(result.order, natural_less, [&](std::size_t i) -> const std::string& { return names[i]; });
    result.because = "by name";
    return result;
  }
  const auto meaning = order_by_meaning(names);
  if (!meaning)
    reject(path,
           "the order of the layers is open, their names being {}{}{}: if these are the layers and nothing "
           "else, say {}--order "
           "given for the order in which they lie in {} and files on the command line (in a folder: by name)",
           in_quotes(names[0]), names.size() > 2 ? ", " + in_quotes(names[1]) + ", " : " and ", in_quotes(names.back()),
           of_files ? "" : "--tensors NAME,NAME,... (* for any number), h_0 first, or ",
           of_files ? "the archive" : "the file (safetensors' save_file sorts by name)");
  return {meaning->order, numbers_of(meaning->numbers), meaning->left_out, meaning->how};
}

/// The layers of some parts, in order, as one block of tokens.
struct layer_block {
  token_block block;
  std::vector<std::string> names;
  std::vector<index> numbers;
  std::vector<std::string> left_out;
  std::string because;
};

layer_block join_layers(const std::vector<file_part>& parts, const std::vector<std::string>& names,
                        const stack_options& options) {
  std::vector<const tensor*> items;
  for (const auto& part : parts) items.insert(items.end(), part.items.begin(), part.items.end());
  const auto ordered =
      order_layers(parts.front().file->path, names, parts.front().items.front()->name.empty(), options);
  layer_block result{{&parts.front(), {}}, {}, ordered.numbers, {}, ordered.because};
  for (const auto i : ordered.order) {
    result.block.layers.emplace_back(items[i], 0);
    result.names.push_back(names[i]);
  }
  for (const auto i : ordered.left_out) result.left_out.push_back(names[i]);
  return result;
}

void add(std::vector<token_shard>& to, std::vector<token_shard> more) {
  for (auto& shard : more) to.push_back(std::move(shard));
}

}  // namespace

layer_stack stack_layers(std::vector<tensor_file> files, const stack_options& options) {
  if (files.empty()) reject("input", "expected at least one file, got none");
  const auto stated_layout = options.layout ? std::nullopt : layout_of(files);
  const auto [state_files, companion_files] = states_and_companions(files);

  std::vector<file_part> parts;
  for (const auto* file : state_files) {
    if (file->format != state_files.front()->format)
      reject(file->path, "expected the file format of {}, got another", state_files.front()->path);
    auto chosen = select_states(*file, options);
    file_part part{file, std::move(chosen.items), std::move(chosen.left_out), {}, {}};
    check_one_shape(part);
    part.beside = find_companions(beside_file(*file, companion_files), {options.mask, options.mask_file.get()});
    parts.push_back(std::move(part));
  }
  const auto& first = parts.front();
  const auto rank_of = [](const file_part& part) { return part.items.front()->shape.size(); };
  for (const auto& part : parts)
    if (rank_of(part) != rank_of(first) || holds_one(part) != holds_one(first))
      reject(part.file->path, "expected {} as in {}, got {}", describe(*first.items.front()), first.file->path,
             describe(*part.items.front()));

  // Layers or stacks of layers, and which axis is which.
  const bool one_each = holds_one(first);
  const bool several = parts.size() > 1;
  bool layers = true;
  if (one_each && rank_of(first) > 2)
    layers = several && divide_tensors(parts, options.layout ? options.layout : stated_layout) == division::layers;
  const auto token_axis = axis_that_varies(parts);
  for (auto& part : parts)
    part.axes =
        layers ? axes_of_layer(*part.file, *part.items.front(), part.beside, options.layout, stated_layout)
               : axes_of_stack(*part.file, *part.items.front(), part.beside, options.layout, stated_layout, token_axis);
  const bool shards = !layers || (several && divide_matrices(parts) == division::shards);

  reading taken;
  std::vector<token_shard> all;
  std::vector<index> numbers;
  check_agreement(parts, !shards, shards);
  if (!layers) {
    for (const auto& part : parts) {
      if (options.tensors.empty() && part.items.front()->name != first.items.front()->name)
        reject(part.file->path, "expected the tensor {} as in {}, got {}: choose with --tensors NAME,NAME",
               in_quotes(first.items.front()->name), first.file->path, in_quotes(part.items.front()->name));
      token_block block{&part, {}};
      for (index layer = 0; layer < size_of(*part.items.front(), part.axes.axes, axis::layer); ++layer)
        block.layers.emplace_back(part.items.front(), layer);
      auto its = shards_of(block);
      put_companions(part.beside, *part.file, its);
      add(all, std::move(its));
    }
    taken.states = {name_of(*first.file, *first.items.front())};
  } else {
    std::vector<std::vector<file_part>> groups;
    if (shards)
      for (const auto& part : parts) groups.push_back({part});
    else
      groups.push_back(parts);
    for (const auto& group : groups) {
      auto joined = join_layers(group, layer_names_of(group), options);
      auto its = shards_of(joined.block);
      const auto telling = std::ranges::find_if(group, [](const auto& part) { return part.beside.tell_tokens(); });
      const auto& told_by = telling == group.end() ? group.front() : *telling;
      for (const auto& part : group)
        if (part.beside.mask && part.beside.keep != told_by.beside.keep)
          reject(part.file->path, "expected the mask of {}, got another: the files hold layers of the same tokens",
                 told_by.file->path);
      put_companions(told_by.beside, *told_by.file, its);
      add(all, std::move(its));
      taken.states = joined.names, numbers = joined.numbers, taken.order_because = joined.because;
      taken.left_out = joined.left_out;
    }
  }

  index tokens = 0;
  for (const auto& shard : all) {
    if (shard.tokens > std::numeric_limits<index>::max() - tokens)
      reject(shard.path, "expected fewer than 2^63 tokens in all the files, got more");
    tokens += shard.tokens;
  }
  const auto states = std::ssize(all.front().states);
  if (states < 2)
    reject(all.front().path, "expected the states of at least two layers (the first layer's input and output), got {}",
           states);

  if (!options.numbers.empty()) {
    if (std::ssize(options.numbers) != states)
      reject(all.front().path, "--layer-numbers: expected one for each of the {} states, got {}", states,
             options.numbers.size());
    numbers = options.numbers;
  }
  if (std::ssize(numbers) != states) {
    numbers.resize(static_cast<std::size_t>(states));
    std::iota(numbers.begin(), numbers.end(), index{0});
  }

  taken.axes = text_of(first.axes.axes);
  taken.axes_because = first.axes.why;
  taken.axes_assumed = taken.assumed = std::ranges::any_of(parts, [](const auto& part) { return part.axes.assumed; });
  for (const auto& part : parts)
    if (part.beside.mask) taken.mask = part.beside.mask->name;
  for (const auto& name : first.left_out) taken.left_out.push_back(name);
  for (const auto& file : files)
    if (!file.remark.empty() && std::ranges::find(taken.remarks, file.remark) == taken.remarks.end())
      taken.remarks.push_back(file.remark), taken.assumed = true;
  const data_type dtype = first.items.front()->dtype;
  const index dims = size_of(*first.items.front(), first.axes.axes, axis::dim);
  const auto final_norm = options.final_norm_is_known ? std::nullopt : final_norm_of(files);
  const auto sequence_length = options.sequences_are_known ? std::nullopt : sequence_length_of(files);
  return {dtype,
          states,
          tokens,
          dims,
          std::move(all),
          std::move(files),
          final_norm,
          sequence_length,
          std::move(numbers),
          std::move(taken)};
}

}  // namespace layerwise_profile
