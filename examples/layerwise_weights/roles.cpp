#include "roles.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace examples::layerwise_weights {
namespace {

using named_role = std::pair<std::string_view, role>;

constexpr std::string_view ending = ".weight";

/// What a language model's names begin with.
constexpr std::array<std::string_view, 7> prefixes{
    "", "model.", "transformer.", "gpt_neox.", "model.language_model.", "language_model.model.", "language_model."};
/// What the number of a layer follows.
constexpr std::array<std::string_view, 3> blocks{"layers.", "h.", "blk."};

constexpr std::array of_the_model{
    named_role{"embed_tokens", role::embedding}, named_role{"wte", role::embedding},
    named_role{"embed_in", role::embedding},     named_role{"token_embd", role::embedding},
    named_role{"lm_head", role::unembedding},    named_role{"embed_out", role::unembedding},
    named_role{"output", role::unembedding},
};

constexpr std::array of_a_layer{
    // llama and its descendants; phi
    named_role{"self_attn.q_proj", role::q},
    named_role{"self_attn.k_proj", role::k},
    named_role{"self_attn.v_proj", role::v},
    named_role{"self_attn.o_proj", role::o},
    named_role{"self_attn.dense", role::o},
    named_role{"self_attn.qkv_proj", role::qkv},
    named_role{"mlp.gate_proj", role::gate},
    named_role{"mlp.up_proj", role::up},
    named_role{"mlp.gate_up_proj", role::gate_up},
    named_role{"mlp.down_proj", role::down},
    named_role{"mlp.fc1", role::up},
    named_role{"mlp.fc2", role::down},
    // gpt2
    named_role{"attn.c_attn", role::qkv},
    named_role{"attn.c_proj", role::o},
    named_role{"mlp.c_fc", role::up},
    named_role{"mlp.c_proj", role::down},
    // gpt-neox
    named_role{"attention.query_key_value", role::qkv},
    named_role{"attention.dense", role::o},
    named_role{"mlp.dense_h_to_4h", role::up},
    named_role{"mlp.dense_4h_to_h", role::down},
    // GGUF
    named_role{"attn_q", role::q},
    named_role{"attn_k", role::k},
    named_role{"attn_v", role::v},
    named_role{"attn_output", role::o},
    named_role{"attn_qkv", role::qkv},
    named_role{"ffn_gate", role::gate},
    named_role{"ffn_up", role::up},
    named_role{"ffn_down", role::down},
};

template <class Table>
role role_of(const Table& table, std::string_view name) {
  const auto* found = std::ranges::find(table, name, &named_role::first);
  return found == table.end() ? role::other : found->second;
}

/// Of a name without its prefix and ending.
matrix_place place_within(std::string_view name) {
  if (const auto what = role_of(of_the_model, name); what != role::other) return {what, -1};
  for (const auto block : blocks) {
    if (!name.starts_with(block)) continue;
    layerwise::index layer = -1;
    const auto* first = name.data() + block.size();
    const auto* last = name.data() + name.size();
    const auto [end, status] = std::from_chars(first, last, layer);
    if (status != std::errc{} || layer < 0 || end == last || *end != '.') continue;
    const auto what = role_of(of_a_layer, {end + 1, static_cast<std::size_t>(last - end - 1)});
    if (what != role::other) return {what, layer};
  }
  return {};
}

}  // namespace

std::string_view text_of(role what) {
  constexpr std::array<std::string_view, 12> words{"embedding", "unembedding", "q",  "k",       "v",    "o",
                                                   "qkv",       "gate",        "up", "gate_up", "down", "other"};
  return words[static_cast<std::size_t>(what)];
}

matrix_place place_of(std::string_view tensor) {
  if (!tensor.ends_with(ending)) return {};
  tensor.remove_suffix(ending.size());
  for (const auto prefix : prefixes)
    if (tensor.starts_with(prefix))
      if (const auto place = place_within(tensor.substr(prefix.size())); place.what != role::other) return place;
  return {};
}

}  // namespace examples::layerwise_weights
