#include "layer_stack.hpp"

#include "input_error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>
#include <string_view>

namespace layerwise_profile {
namespace {

/// Deeper than any transformer. A larger number is a [token][layer][dim] dump read as [layer][token][dim].
constexpr index most_states = 4096;

std::string describe(const tensor& item) {
  const auto what = fmt::format("{} {}", shape_text(item.shape), name_of(item.dtype));
  return item.name.empty() ? what : fmt::format("{} ({})", in_quotes(item.name), what);
}

std::string describe(std::span<const tensor* const> items) {
  constexpr std::size_t most = 4;
  std::string text;
  for (std::size_t i = 0; i < std::min(items.size(), most); ++i)
    text += (i == 0 ? "" : ", ") + describe(*items[i]);
  if (items.size() > most) text += fmt::format(" and {} more", items.size() - most);
  return text.empty() ? "none" : text;
}

/// The tensors of one file that hold its hidden states: one of rank 3, or matrices in layer order.
std::vector<const tensor*> hidden_states_of(const tensor_file& file, const std::string& wanted) {
  std::vector<const tensor*> all, stacks, matrices;
  for (const auto& item : file.tensors) {
    all.push_back(&item);
    if (!can_be_profiled(item.dtype)) continue;
    if (item.shape.size() == 3 && (wanted.empty() || item.name == wanted)) stacks.push_back(&item);
    if (item.shape.size() == 2 && item.name.starts_with(wanted)) matrices.push_back(&item);
  }
  if (stacks.size() > 1)
    reject(file.path, "expected one tensor of three dimensions, got {}: choose with --tensor",
           describe(stacks));
  if (stacks.size() == 1) return stacks;
  if (matrices.empty())
    reject(file.path,
           "expected a floating-point tensor{} of three dimensions, or one matrix per layer{}, got {}",
           wanted.empty() ? "" : " named " + in_quotes(wanted),
           wanted.empty() ? "" : " with names that begin so", describe(all));
  std::stable_sort(matrices.begin(), matrices.end(),
                   [](const tensor* a, const tensor* b) { return natural_less(a->name, b->name); });
  return matrices;
}

/// Where the hidden states of one file lie: matrices of equal shape and type.
struct file_slice {
  const tensor_file* file;
  std::set<std::string> names;
  bool rank_three;
  data_type dtype;
  index tokens;
  index dimensions;
  std::vector<std::pair<std::string, layer_matrix>> states;  // each with its name
};

file_slice slice_stack(const tensor_file& file, const tensor& item, tensor_layout layout) {
  const auto strides = item.strides();
  const std::size_t layer_axis = layout == tensor_layout::layer_major ? 0 : 1;
  const std::size_t token_axis = 1 - layer_axis;
  file_slice slice{&file, {item.name}, true, item.dtype, item.shape[token_axis], item.shape[2], {}};
  if (item.bytes.empty()) reject(file.path, "expected no dimension to be 0, got {}", describe(item));
  if (item.shape[layer_axis] > most_states)
    reject(file.path, "expected at most {} layers, got {} in {}: is it --layout {}?", most_states,
           item.shape[layer_axis], describe(item), layer_axis == 0 ? "token-major" : "layer-major");
  for (index layer = 0; layer < item.shape[layer_axis]; ++layer) {
    const auto offset = layer * strides[layer_axis] * static_cast<index>(size_of(item.dtype));
    slice.states.push_back({item.name, {item.bytes.data() + offset, strides[token_axis], strides[2]}});
  }
  return slice;
}

file_slice slice_matrices(const tensor_file& file, std::span<const tensor* const> matrices) {
  const auto& first = *matrices.front();
  file_slice slice{&file, {}, false, first.dtype, first.shape[0], first.shape[1], {}};
  for (const auto* item : matrices) {
    if (item->shape != first.shape || item->dtype != first.dtype)
      reject(file.path,
             "expected matrices of one shape and type for the layers, got {} and {}: choose with --tensor",
             describe(first), describe(*item));
    if (item->bytes.empty()) reject(file.path, "expected no dimension to be 0, got {}", describe(*item));
    const auto strides = item->strides();
    slice.names.insert(item->name);
    slice.states.push_back({item->name, {item->bytes.data(), strides[0], strides[1]}});
  }
  return slice;
}

/// The value of a metadata key on which all files that have it agree.
std::optional<std::string> agreed_metadata(std::span<const tensor_file> files, const std::string& key) {
  const tensor_file* first = nullptr;
  for (const auto& file : files) {
    if (!file.metadata.contains(key)) continue;
    if (first == nullptr) first = &file;
    if (file.metadata.at(key) != first->metadata.at(key))
      reject(file.path, "__metadata__: {}: expected {} as in {}, got {}", key,
             in_quotes(first->metadata.at(key)), first->path, in_quotes(file.metadata.at(key)));
  }
  return first == nullptr ? std::nullopt : std::optional(first->metadata.at(key));
}

[[noreturn]] void reject_metadata(std::span<const tensor_file> files, const std::string& key,
                                  std::string_view expected, std::string_view got) {
  const auto file =
      std::find_if(files.begin(), files.end(), [&](auto& f) { return f.metadata.contains(key); });
  reject(file->path, "__metadata__: {}: expected {}, got {}", key, expected, in_quotes(got));
}

std::optional<tensor_layout> layout_of(std::span<const tensor_file> files) {
  const auto text = agreed_metadata(files, "layout");
  if (!text) return std::nullopt;
  if (*text == "layer-major" || *text == "[layer][token][dim]") return tensor_layout::layer_major;
  if (*text == "token-major" || *text == "[token][layer][dim]") return tensor_layout::token_major;
  reject_metadata(files, "layout", "layer-major or token-major", *text);
}

std::optional<std::string> final_norm_of(std::span<const tensor_file> files) {
  auto text = agreed_metadata(files, "final_norm");
  if (text && *text != "before" && *text != "after")
    reject_metadata(files, "final_norm", "before or after", *text);
  return text;
}

std::optional<index> sequence_length_of(std::span<const tensor_file> files) {
  const auto text = agreed_metadata(files, "sequence_length");
  if (!text) return std::nullopt;
  index value = 0;
  const auto [end, status] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (status != std::errc{} || end != text->data() + text->size() || value < 1)
    reject_metadata(files, "sequence_length", "a positive integer", *text);
  return value;
}

/// Every slice has the first one's dimensions and type, and its tokens or its number of states too where
/// asked.
void check_agreement(std::span<const file_slice> slices, bool same_tokens, bool same_states) {
  const auto& first = slices.front();
  const auto text = [&](const file_slice& s) {
    return fmt::format("{} states of {} tokens x {} dimensions, {}", s.states.size(), s.tokens, s.dimensions,
                       name_of(s.dtype));
  };
  for (const auto& slice : slices) {
    if (slice.dtype == first.dtype && slice.dimensions == first.dimensions &&
        (!same_tokens || slice.tokens == first.tokens) &&
        (!same_states || slice.states.size() == first.states.size()))
      continue;
    reject(slice.file->path, "expected the {}, dimensions and type as {} has, got {}",
           same_tokens ? "tokens" : "states", first.file->path, text(slice));
  }
}

token_shard to_shard(const file_slice& slice) {
  token_shard shard{slice.file->path, slice.tokens, {}};
  for (const auto& [name, matrix] : slice.states) shard.states.push_back(matrix);
  return shard;
}

/// Files that hold different layers of the same tokens become one shard.
token_shard join_layers(std::span<const file_slice> slices) {
  check_agreement(slices, true, false);
  std::vector<std::pair<std::string, layer_matrix>> states;
  for (const auto& slice : slices) states.insert(states.end(), slice.states.begin(), slice.states.end());
  std::stable_sort(states.begin(), states.end(),
                   [](const auto& a, const auto& b) { return natural_less(a.first, b.first); });
  token_shard shard{slices.front().file->path, slices.front().tokens, {}};
  for (const auto& [name, matrix] : states) shard.states.push_back(matrix);
  return shard;
}

/// Whether the files hold different layers (true) or different tokens (false) of one dump.
bool files_hold_layers(std::span<const file_slice> slices) {
  const auto& first = slices.front();
  for (const auto& slice : slices) {
    if (slice.file->format != first.file->format)
      reject(slice.file->path, "expected the file format of {}, got another", first.file->path);
    if (slice.rank_three != first.rank_three)
      reject(slice.file->path, "expected {} as in {}, got {}",
             first.rank_three ? "a rank-3 tensor" : "one matrix per layer", first.file->path,
             slice.rank_three ? "a rank-3 tensor" : "matrices");
  }
  // A .npy array has no name: matrices are layers, rank-3 arrays shards of tokens.
  if (first.file->format == file_format::npy) return !first.rank_three;

  const auto same = [&](const file_slice& slice) { return slice.names == first.names; };
  if (std::all_of(slices.begin(), slices.end(), same)) return false;

  auto seen = first.names;
  for (const auto& slice : slices.subspan(1)) {
    const auto distinct = seen.size() + slice.names.size();
    seen.insert(slice.names.begin(), slice.names.end());
    if (first.rank_three || seen.size() != distinct)
      reject(slice.file->path, "expected the tensor names of {} (shards of tokens){}, got {}{}",
             first.file->path, first.rank_three ? "" : " or no name of another file (different layers)",
             in_quotes(*slice.names.begin()), slice.names.size() > 1 ? ", ..." : "");
  }
  return true;
}

}  // namespace

bool natural_less(std::string_view a, std::string_view b) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto take_number = [&](std::string_view& text) {
    const auto* const end = std::find_if_not(text.begin(), text.end(), is_digit);
    auto digits = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    text.remove_prefix(digits.size());
    while (digits.size() > 1 && digits.front() == '0') digits.remove_prefix(1);
    return digits;
  };
  const auto whole_a = a, whole_b = b;
  while (!a.empty() && !b.empty()) {
    if (is_digit(a.front()) && is_digit(b.front())) {
      const auto x = take_number(a), y = take_number(b);
      if (x.size() != y.size()) return x.size() < y.size();
      if (x != y) return x < y;
    } else {
      if (a.front() != b.front()) return a.front() < b.front();
      a.remove_prefix(1);
      b.remove_prefix(1);
    }
  }
  if (a.empty() != b.empty()) return a.empty();
  return whole_a < whole_b;  // "h.01" and "h.1": equal as numbers, not as names
}

layer_stack stack_layers(std::vector<tensor_file> files, const stack_options& options) {
  if (files.empty()) reject("input", "expected at least one file, got none");
  const auto named_layout = options.layout ? options.layout : layout_of(files);
  const auto layout = named_layout.value_or(tensor_layout::layer_major);

  std::vector<file_slice> slices;
  for (const auto& file : files) {
    const auto tensors = hidden_states_of(file, options.tensor);
    slices.push_back(tensors.front()->shape.size() == 3 ? slice_stack(file, *tensors.front(), layout)
                                                        : slice_matrices(file, tensors));
  }

  std::vector<token_shard> shards;
  if (files_hold_layers(slices)) {
    shards.push_back(join_layers(slices));
  } else {
    check_agreement(slices, false, true);
    for (const auto& slice : slices) shards.push_back(to_shard(slice));
  }

  index tokens = 0;
  for (const auto& shard : shards) {
    if (shard.tokens > std::numeric_limits<index>::max() - tokens)
      reject(shard.path, "expected fewer than 2^63 tokens in all the files, got more");
    tokens += shard.tokens;
  }
  const auto states = std::ssize(shards.front().states);
  if (states < 2)
    reject(shards.front().path,
           "expected the states of at least two layers (the first layer's input and output), got {}", states);

  const bool assumed = !named_layout && slices.front().rank_three;
  const auto final_norm = final_norm_of(files);
  const auto sequence_length = sequence_length_of(files);
  const auto& first = slices.front();
  return {first.dtype,      states,     tokens,          first.dimensions, std::move(shards),
          std::move(files), final_norm, sequence_length, assumed};
}

}  // namespace layerwise_profile
