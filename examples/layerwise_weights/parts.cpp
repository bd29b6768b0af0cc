#include "parts.hpp"

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <utility>

namespace examples::layerwise_weights {
namespace {

using layerwise::row_matrix;

row_matrix decoded(const weight& tensor) {
  row_matrix out(tensor.rows, tensor.cols);
  for (index i = 0; i < tensor.rows; ++i)
    layerwise::embedding_traits<weight>::read_row(tensor, i, out.data() + i * tensor.cols);
  return out;
}

/// What is known of the heads of a layer.
struct head_counts {
  index heads, key_heads, key_size, value_size;

  head_counts(const model_config& config, index layer)
      : heads(of_layer(config.heads, layer)),
        key_heads(of_layer(config.key_heads, layer)),
        key_size(config.key_size),
        value_size(config.value_size) {}

  /// What of them is not known; empty where all is.
  std::string_view unknown() const {
    if (heads <= 0 || key_heads <= 0) return "the number of heads is not known";
    if (key_size <= 0 || value_size <= 0) return "the size of a head is not known";
    return {};
  }
  index of(role what) const { return what == role::k || what == role::v ? key_heads : heads; }
  index size(role what) const { return what == role::v || what == role::o ? value_size : key_size; }
  /// Rows of q, k, v; columns of o. Nothing where these would be more than `most`: a file may say anything.
  std::optional<index> width(role what, index most) const {
    if (size(what) > most / of(what)) return std::nullopt;
    return of(what) * size(what);
  }
};

bool is_attention(role what) { return what == role::q || what == role::k || what == role::v || what == role::o; }

/// Says how a part divides into heads, or why not.
matrix_part with_heads(matrix_part part, const head_counts& counts) {
  part.heads_are_rows = part.what != role::o;
  part.unit_is_row = part.what != role::o && part.what != role::down;
  if (!is_attention(part.what)) return part;
  const index width = part.heads_are_rows ? part.values.rows() : part.values.cols();
  if (const auto unknown = counts.unknown(); !unknown.empty())
    part.remark = unknown;
  else if (counts.width(part.what, width) != width)
    part.remark =
        fmt::format("{} heads of {} do not make up its {}", counts.of(part.what), counts.size(part.what), width);
  else
    part.heads = counts.of(part.what);
  return part;
}

/// Query, key and value of each head in turn, all of one size: what gpt-neox has.
std::vector<matrix_part> interleaved(const row_matrix& values, const head_counts& counts) {
  std::vector<matrix_part> parts;
  const index size = counts.key_size;
  for (const auto& [what, place] : {std::pair{role::q, 0}, std::pair{role::k, 1}, std::pair{role::v, 2}}) {
    matrix_part part{what, row_matrix(counts.heads * size, values.cols()), 0, true, true, {}};
    for (index h = 0; h < counts.heads; ++h)
      part.values.middleRows(h * size, size) = values.middleRows((3 * h + place) * size, size);
    parts.push_back(with_heads(std::move(part), counts));
  }
  return parts;
}

/// Blocks of rows, one after the other.
std::vector<matrix_part> stacked(const row_matrix& values, const std::vector<std::pair<role, index>>& blocks,
                                 const head_counts& counts) {
  std::vector<matrix_part> parts;
  index first = 0;
  for (const auto& [what, rows] : blocks) {
    parts.push_back(with_heads({what, values.middleRows(first, rows), 0, true, true, {}}, counts));
    first += rows;
  }
  return parts;
}

std::vector<matrix_part> whole(role what, row_matrix values, std::string remark) {
  return {{what, std::move(values), 0, true, true, std::move(remark)}};
}

/// GGUF, phi3 and gpt2 have all queries, then all keys, then all values.
std::vector<matrix_part> parts_of_qkv(row_matrix values, bool is_interleaved, const head_counts& counts) {
  if (const auto unknown = counts.unknown(); !unknown.empty())
    return whole(role::qkv, std::move(values), fmt::format("fused: {}", unknown));
  std::vector<std::pair<role, index>> blocks;
  index left = values.rows();
  bool fits = !is_interleaved || (counts.heads == counts.key_heads && counts.key_size == counts.value_size);
  for (const role what : {role::q, role::k, role::v}) {
    const auto rows = counts.width(what, left);
    fits = fits && rows;
    blocks.emplace_back(what, rows.value_or(0));
    left -= blocks.back().second;
  }
  if (!fits || left != 0)
    return whole(role::qkv, std::move(values),
                 fmt::format("fused: its {} rows do not fit {} heads of {}, and {} of {} for keys and of {} for values",
                             values.rows(), counts.heads, counts.key_size, counts.key_heads, counts.key_size,
                             counts.value_size));
  return is_interleaved ? interleaved(values, counts) : stacked(values, blocks, counts);
}

bool is_named(const weight& tensor, std::string_view part) { return tensor.name.find(part) != std::string::npos; }

/// Whether inputs are the rows, as in the Conv1D of gpt2: nothing but the architecture tells, as others have the names.
bool has_inputs_as_rows(const weight& tensor, const model_config& config) {
  return config.architecture == "gpt2" &&
         (is_named(tensor, ".c_attn.") || is_named(tensor, ".c_proj.") || is_named(tensor, ".c_fc."));
}

}  // namespace

std::vector<matrix_part> parts_of(const weight& tensor, const matrix_place& place, const model_config& config) {
  const head_counts counts(config, place.layer);
  auto values = decoded(tensor);
  if (has_inputs_as_rows(tensor, config)) values = row_matrix(values.transpose());
  if (place.what == role::qkv) {
    const bool layout_is_known = is_named(tensor, "attn_qkv") || is_named(tensor, "qkv_proj") ||
                                 has_inputs_as_rows(tensor, config) || config.architecture == "gpt_neox";
    if (!layout_is_known)
      return whole(role::qkv, std::move(values), "fused: the order of queries, keys and values is not known");
    return parts_of_qkv(std::move(values), is_named(tensor, "query_key_value"), counts);
  }
  const bool is_double = config.feed_forward > 0 && values.rows() == 2 * config.feed_forward;
  if (is_double && (place.what == role::gate_up || is_named(tensor, "ffn_up"))) {
    return stacked(values, {{role::gate, config.feed_forward}, {role::up, config.feed_forward}}, counts);
  }
  if (place.what == role::gate_up)
    return whole(role::gate_up, std::move(values), "fused: the width of the MLP is not known");
  return {with_heads({place.what, std::move(values), 0, true, true, {}}, counts)};
}

}  // namespace examples::layerwise_weights
