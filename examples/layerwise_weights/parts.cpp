#include "parts.hpp"

#include <fmt/format.h>

#include <algorithm>
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

  bool are_known() const { return heads > 0 && key_heads > 0 && key_size > 0 && value_size > 0; }
  index of(role what) const { return what == role::k || what == role::v ? key_heads : heads; }
  /// Rows of q, k, v; columns of o.
  index width(role what) const { return of(what) * (what == role::v || what == role::o ? value_size : key_size); }
};

bool is_attention(role what) { return what == role::q || what == role::k || what == role::v || what == role::o; }

/// Says how a part divides into heads, or why not.
matrix_part with_heads(matrix_part part, const head_counts& counts) {
  part.heads_are_rows = part.what != role::o;
  part.unit_is_row = part.what != role::o && part.what != role::down;
  if (!is_attention(part.what)) return part;
  const index width = part.heads_are_rows ? part.values.rows() : part.values.cols();
  if (!counts.are_known())
    part.remark = "the number of heads is not known";
  else if (width != counts.width(part.what))
    part.remark = fmt::format("{} heads of {} do not make up its {}", counts.of(part.what),
                              counts.width(part.what) / counts.of(part.what), width);
  else
    part.heads = counts.of(part.what);
  return part;
}

/// Query, key and value of each head in turn: what gpt-neox has.
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
  if (!counts.are_known()) return whole(role::qkv, std::move(values), "fused: the number of heads is not known");
  const std::vector<std::pair<role, index>> blocks{
      {role::q, counts.width(role::q)}, {role::k, counts.width(role::k)}, {role::v, counts.width(role::v)}};
  const index rows = blocks[0].second + blocks[1].second + blocks[2].second;
  const bool fits = rows == values.rows() && (!is_interleaved || counts.heads == counts.key_heads);
  if (!fits)
    return whole(role::qkv, std::move(values),
                 fmt::format("fused: {} heads of {} and twice {} for keys and values do not make up it", counts.heads,
                             counts.key_size, counts.key_heads));
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
