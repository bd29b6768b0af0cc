#include "dumps/companions.hpp"

#include "common/input_error.hpp"
#include "dumps/axes.hpp"
#include "dumps/layer_names.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <numeric>
#include <string_view>

namespace examples::dumps {
namespace {

constexpr std::string_view id_names[] = {"token_ids", "input_ids", "prompt_token_ids", "decoder_input_ids"};
constexpr std::string_view length_names[] = {
    "sequence_lengths", "sequence_length", "seq_lengths", "seq_lens", "seq_len", "seqlens",    "seqlen",
    "prompt_lens",      "prompt_len",      "lengths",     "length",   "lens",    "num_tokens", "n_tokens"};
/// Integers beside the states that say nothing of which tokens are real.
constexpr std::string_view other_names[] = {"token_type_ids", "special_tokens_mask", "position_ids", "labels"};
constexpr std::string_view boundary_names[] = {"cu_seqlens", "cu_seq_lens", "query_start_loc"};
constexpr std::string_view mask_name = "attention_mask";

/// The last part of a name: "batch/input_ids" -> input_ids.
std::string_view last_part(std::string_view name) {
  const auto end = name.find_last_of("./");
  return end == std::string_view::npos ? name : name.substr(end + 1);
}

template <std::size_t n>
bool is_one_of(std::string_view name, const std::string_view (&names)[n]) {
  return std::ranges::find(names, last_part(name)) != std::end(names);
}

template <class Integer>
index element(const std::byte* from) {
  Integer value;
  std::memcpy(&value, from, sizeof value);
  return static_cast<index>(value);
}

using read_integer = index (*)(const std::byte*);

read_integer reader_of(data_type type) {
  switch (type) {
    case data_type::i64:
      return element<std::int64_t>;
    case data_type::u64:
      return element<std::uint64_t>;
    case data_type::i32:
      return element<std::int32_t>;
    case data_type::u32:
      return element<std::uint32_t>;
    case data_type::i16:
      return element<std::int16_t>;
    case data_type::u16:
      return element<std::uint16_t>;
    case data_type::i8:
      return element<std::int8_t>;
    default:
      return element<std::uint8_t>;
  }
}

/// The elements of a tensor of integers, in row-major order.
std::vector<index> integers_of(const tensor& item) {
  const auto read = reader_of(item.dtype);
  const auto strides = item.strides();
  const auto bytes = static_cast<index>(size_of(item.dtype));
  std::vector<index> place(item.shape.size(), 0), result;
  const auto count = std::accumulate(item.shape.begin(), item.shape.end(), index{1}, std::multiplies<>());
  for (index i = 0; i < count; ++i) {
    index offset = 0;
    for (std::size_t axis = 0; axis < place.size(); ++axis) offset += place[axis] * strides[axis];
    result.push_back(read(item.bytes.data() + offset * bytes));
    for (std::size_t axis = place.size(); axis-- > 0;) {
      if (++place[axis] < item.shape[axis]) break;
      place[axis] = 0;
    }
  }
  return result;
}

/// The same of what counts tokens, so that sums of them don't overflow.
std::vector<index> counts_of(const tensor_file& file, const tensor& item) {
  auto values = integers_of(item);
  for (const auto value : values)
    if (value < 0 || value > index{1} << 40)
      reject(file.path, "{}: expected numbers of tokens, got {}", in_quotes(item.name), value);
  return values;
}

/// [batch][token] or [token]: [batch][1][1][token] and [1][token] without the ones.
companions::counted count(const tensor& item, std::string name) {
  auto shape = item.shape;
  std::erase(shape, index{1});
  if (shape.empty()) shape = {1};
  return {std::move(name), shape, item.shape.size() > 1 && item.shape.front() == 1 && shape.size() == 1};
}

/// The shape of a mask or of token ids: [token] or [batch][token].
bool counts_tokens(const tensor& item) {
  return is_integer(item.dtype) && !item.shape.empty() && count(item, {}).shape.size() <= 2 && !item.bytes.empty();
}

/// The shape of lengths: [sequence], or one number.
bool counts_lengths(const tensor& item) {
  return is_integer(item.dtype) && item.shape.size() <= 1 && !item.bytes.empty();
}

void take_mask(const tensor_file& file, const tensor& item, std::string name, companions& result) {
  if (!counts_tokens(item))
    reject(file.path,
           "the mask {}: expected integers [batch][token] or [token], 1 for a real token and 0 for padding, "
           "got {}; "
           "--mask none does without",
           in_quotes(name), describe(item));
  for (const auto value : integers_of(item)) {
    if (value != 0 && value != 1)
      reject(file.path, "the mask {}: expected 1 for a real token and 0 for padding, got {}; --mask none does without",
             in_quotes(name), value);
    result.keep.push_back(value == 1);
  }
  result.mask = count(item, std::move(name));
}

/// One id several times at the end or the beginning of a sequence is padding more often than text.
/// ids: [sequence][position].
void refuse_padding(const tensor_file& file, const tensor& item, const std::vector<index>& ids, index sequences) {
  const index length = std::ssize(ids) / sequences, least = sequences > 1 ? 2 : 5;
  for (const bool at_end : {true, false})
    for (index sequence = 0; sequence < sequences; ++sequence) {
      const auto id = [&](index i) {
        return ids[static_cast<std::size_t>(sequence * length + (at_end ? length - 1 - i : i))];
      };
      index run = 1;
      while (run < length && id(run) == id(0)) ++run;
      if (run >= least && run < length)
        reject(file.path,
               "{} looks padded, {} times {} at the {} of sequence {}, and there is no attention_mask: say "
               "--mask FILE "
               "(1 for a real token), or --mask none if all are real",
               in_quotes(item.name), run, id(0), at_end ? "end" : "beginning", sequence);
    }
}

/// Whether a tensor that is none of those known may be a mask: by its name, or because it has ones and zeros only.
bool may_be_mask(const tensor& item) {
  const auto lower = lower_case(item.name);
  if (item.bytes.empty() || is_one_of(lower, other_names) || is_companion(item.name)) return false;
  if (lower.find("mask") != std::string::npos) return item.shape.size() <= 4;
  if (!counts_tokens(item)) return false;
  const auto values = integers_of(item);
  return std::ranges::all_of(values, [](index v) { return v == 0 || v == 1; }) && std::ranges::count(values, 0) > 0 &&
         std::ranges::count(values, 1) > 0;
}

/// The tensor of a file that --mask names.
const tensor& only_mask_of(const tensor_file& file) {
  const tensor* found = nullptr;
  for (const auto& item : file.tensors) {
    if (last_part(item.name) == mask_name) return item;
    if (!is_integer(item.dtype)) continue;
    if (found != nullptr)
      reject(file.path, "--mask: expected one tensor of integers, or {}, got {} and {}", mask_name, describe(*found),
             describe(item));
    found = &item;
  }
  if (found == nullptr) reject(file.path, "--mask: expected a tensor of integers, got none");
  return *found;
}

/// Lengths of sequences, as they are or as the places where they begin.
void take_lengths(const tensor_file& file, const tensor& item, companions& result) {
  const bool lengths = is_one_of(item.name, length_names) && counts_lengths(item);
  const bool boundaries =
      is_one_of(item.name, boundary_names) && counts_tokens(item) && item.shape.size() == 1 && item.shape[0] > 1;
  if (!lengths && !boundaries) return;
  result.lengths = counts_of(file, item);
  result.lengths_name = item.name;
  if (!boundaries) return;
  std::adjacent_difference(result.lengths.begin(), result.lengths.end(), result.lengths.begin());
  result.lengths.erase(result.lengths.begin());
}

/// The mask that the choice names, or a tensor that may be one. Returns whether it is the mask.
bool take_mask_by(const mask_choice& choice, const tensor_file& file, const tensor& item, companions& result) {
  if (choice.file != nullptr) return false;
  if (choice.name.empty() ? last_part(item.name) == mask_name : item.name == choice.name) {
    take_mask(file, item, item.name, result);
    return true;
  }
  if (choice.name.empty() && may_be_mask(item)) result.candidates.push_back({item.name, item.shape});
  return false;
}

/// Token ids. Several of different shapes are of an encoder and a decoder: which are the states' is not known.
const tensor* take_ids(const tensor_file& file, companions& result) {
  const tensor* ids = nullptr;
  bool several = false;
  for (const auto& item : file.tensors) {
    if (!is_one_of(item.name, id_names) || !counts_tokens(item)) continue;
    several = several || (ids != nullptr && ids->shape != item.shape);
    ids = &item;
  }
  if (several || ids == nullptr) return nullptr;
  result.ids = count(*ids, ids->name);
  return ids;
}

}  // namespace

std::string companions::who_tells() const { return ids ? ids->name : mask ? mask->name : lengths_name.value_or(""); }

std::string companions::lengths_text() const {
  if (ids || mask) return shape_text(ids ? ids->shape : mask->shape);
  return fmt::format("{} sequences of {} tokens", lengths.size(),
                     fmt::join(lengths.begin(), lengths.begin() + std::min<index>(4, std::ssize(lengths)), ", "));
}

bool companions::fit(index batch, index tokens, bool has_batch_axis) const {
  const auto fits = [&](const counted& what) {
    if (what.shape.size() == 1) return batch * tokens == what.shape[0];
    if (has_batch_axis) return batch == what.shape[0] && tokens == what.shape[1];
    return tokens == what.shape[0] * what.shape[1];
  };
  if (ids && !fits(*ids)) return false;
  if (mask && !fits(*mask)) return false;
  if (lengths_name) {
    const auto sum = std::accumulate(lengths.begin(), lengths.end(), index{0});
    const bool flat = sum == batch * tokens;
    const bool padded = has_batch_axis && batch == std::ssize(lengths) && std::ranges::max(lengths) <= tokens;
    if (!flat && !padded) return false;
  }
  return true;
}

companions find_companions(const tensor_file& file, const mask_choice& choice) {
  companions result;
  bool found_mask = false;
  for (const auto& item : file.tensors) {
    take_lengths(file, item, result);
    if (take_mask_by(choice, file, item, result)) found_mask = true;
  }
  for (const auto length : result.lengths)
    if (length < 0)
      reject(file.path, "{}: expected lengths of sequences, got {}", in_quotes(*result.lengths_name), length);
  if (choice.file != nullptr) {
    take_mask(*choice.file, only_mask_of(*choice.file), choice.file->path, result);
  } else if (!choice.name.empty() && choice.name != "none" && !found_mask) {
    reject(file.path, "--mask {}: expected the name of a tensor in the file, of a file, or none, got neither",
           choice.name);
  }
  const auto* const ids = take_ids(file, result);
  const bool may_be_padded = choice.name.empty() && !result.mask && !result.lengths_name && ids != nullptr;
  if (may_be_padded)
    refuse_padding(file, *ids, integers_of(*ids), result.ids->shape.size() == 2 ? result.ids->shape[0] : 1);
  result.is_of_vllm = file.metadata.empty() && result.ids && result.ids->name == "token_ids" && !result.mask;
  return result;
}

bool is_companion(std::string_view name) {
  return is_one_of(name, other_names) || is_one_of(name, id_names) || is_one_of(name, length_names) ||
         is_one_of(name, boundary_names) || last_part(name) == mask_name;
}

}  // namespace examples::dumps
