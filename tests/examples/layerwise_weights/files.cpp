// Reading models: element formats, GGUF, directories, names.

#include "layerwise_weights/element_format.hpp"
#include "layerwise_weights/gguf.hpp"
#include "layerwise_weights/model.hpp"
#include "layerwise_weights/roles.hpp"

#include "examples/dump_files.hpp"
#include "examples/layerwise_weights/gguf_files.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace examples::test {
namespace {

using namespace layerwise_weights;

/// One block of quants q(j), packed here as the format's description says, and what each stands for.
struct packed_block {
  buffer bytes;
  std::vector<double> expected;
};

int quant(int j, int most) { return (7 * j * j + 5 * j + 3) % (most + 1); }

void put_half(buffer& to, double value) { put(to, static_cast<Eigen::half>(value)); }

/// 32 quants of 4 bits: element j in the low half of byte j, element j + 16 in the high one.
void put_nibbles(buffer& to, int most) {
  for (int j = 0; j < 16; ++j)
    put(to, static_cast<std::uint8_t>((quant(j, most) & 15) | (quant(j + 16, most) & 15) << 4));
}

void put_fifth_bits(buffer& to) {
  std::uint32_t bits = 0;
  for (int j = 0; j < 32; ++j) bits |= static_cast<std::uint32_t>(quant(j, 31) >> 4) << j;
  put(to, bits);
}

packed_block simple(bool has_minimum, int most, int zero) {
  packed_block out;
  put_half(out.bytes, -0.375);
  if (has_minimum) put_half(out.bytes, 2.5);
  if (most == 31) put_fifth_bits(out.bytes);
  put_nibbles(out.bytes, most);
  for (int j = 0; j < 32; ++j) out.expected.push_back(-0.375 * (quant(j, most) - zero) + (has_minimum ? 2.5 : 0.0));
  return out;
}

packed_block eight_bits() {
  packed_block out;
  put_half(out.bytes, 0.125);
  for (int j = 0; j < 32; ++j) {
    put(out.bytes, static_cast<std::int8_t>(quant(j, 255) - 128));
    out.expected.push_back(0.125 * (quant(j, 255) - 128));
  }
  return out;
}

/// Scales and minima of 6 bits in 12 bytes: the first four whole, the upper bits of the last four above them.
void put_scales(buffer& to, const std::array<int, 8>& scale, const std::array<int, 8>& minimum) {
  const auto at = [](const auto& list, int i) { return list[static_cast<std::size_t>(i)]; };
  for (int i = 0; i < 4; ++i) put(to, static_cast<std::uint8_t>(at(scale, i) | at(scale, i + 4) >> 4 << 6));
  for (int i = 0; i < 4; ++i) put(to, static_cast<std::uint8_t>(at(minimum, i) | at(minimum, i + 4) >> 4 << 6));
  for (int i = 4; i < 8; ++i) put(to, static_cast<std::uint8_t>((at(scale, i) & 15) | (at(minimum, i) & 15) << 4));
}

packed_block four_or_five_bits(int most) {
  constexpr std::array scale{1, 63, 17, 40, 62, 3, 33, 20}, minimum{0, 5, 63, 31, 48, 16, 15, 60};
  packed_block out;
  put_half(out.bytes, 0.25);
  put_half(out.bytes, -1.5);
  put_scales(out.bytes, scale, minimum);
  if (most == 31)
    for (int j = 0; j < 32; ++j) {
      int bits = 0;
      for (int part = 0; part < 8; ++part) bits |= quant(32 * part + j, most) >> 4 << part;
      put(out.bytes, static_cast<std::uint8_t>(bits));
    }
  for (int pair = 0; pair < 4; ++pair)
    for (int j = 0; j < 32; ++j)
      put(out.bytes,
          static_cast<std::uint8_t>((quant(64 * pair + j, most) & 15) | (quant(64 * pair + 32 + j, most) & 15) << 4));
  for (int j = 0; j < 256; ++j) {
    const auto part = static_cast<std::size_t>(j / 32);
    out.expected.push_back(0.25 * scale[part] * quant(j, most) + 1.5 * minimum[part]);
  }
  return out;
}

packed_block six_bits() {
  packed_block out;
  for (int half = 0; half < 2; ++half)
    for (int j = 0; j < 64; ++j)
      put(out.bytes,
          static_cast<std::uint8_t>((quant(128 * half + j, 63) & 15) | (quant(128 * half + 64 + j, 63) & 15) << 4));
  for (int half = 0; half < 2; ++half)
    for (int j = 0; j < 32; ++j) {
      int bits = 0;
      for (int part = 0; part < 4; ++part) bits |= quant(128 * half + 32 * part + j, 63) >> 4 << 2 * part;
      put(out.bytes, static_cast<std::uint8_t>(bits));
    }
  for (int i = 0; i < 16; ++i) put(out.bytes, static_cast<std::int8_t>(11 * i - 90));
  put_half(out.bytes, 0.5);
  for (int j = 0; j < 256; ++j) out.expected.push_back(0.5 * (11 * (j / 16) - 90) * (quant(j, 63) - 32));
  return out;
}

}  // namespace

TEST_CASE("each format decodes what is packed in it, block after block") {
  const std::vector<std::pair<std::string, packed_block>> blocks{
      {"Q4_0", simple(false, 15, 8)},  {"Q4_1", simple(true, 15, 0)}, {"Q5_0", simple(false, 31, 16)},
      {"Q5_1", simple(true, 31, 0)},   {"Q8_0", eight_bits()},        {"Q4_K", four_or_five_bits(15)},
      {"Q5_K", four_or_five_bits(31)}, {"Q6_K", six_bits()}};
  for (const auto& [name, block] : blocks) {
    CAPTURE(name);
    const auto* format = format_named(name);
    REQUIRE(format != nullptr);
    CHECK(format->is_quantized());
    REQUIRE(format->block == block.expected.size());
    REQUIRE(format->block_bytes == block.bytes.size());
    auto bytes = block.bytes;
    append(bytes, block.bytes.data(), block.bytes.size());
    std::vector<double> decoded(2 * format->block);
    format->decode(bytes.data(), 2, decoded.data());
    auto expected = block.expected;
    expected.insert(expected.end(), block.expected.begin(), block.expected.end());
    CHECK(decoded == expected);
  }
  for (const auto type : {data_type::f64, data_type::f32, data_type::f16, data_type::bf16}) {
    const auto bytes = encode(type, {3}, [](const auto& at) { return 2.5 * static_cast<double>(at[0]) - 1.0; });
    std::vector<double> decoded(3);
    format_named(name_of(type))->decode(bytes.data(), 3, decoded.data());
    CHECK(decoded == std::vector{-1.0, 1.5, 4.0});
  }
}

TEST_CASE("a GGUF file: metadata of every kind, tensors with their bytes") {
  const auto file = gguf(
      {gguf_entry("a", 0, std::uint8_t{200}), gguf_entry("b", 5, std::int32_t{-7}), gguf_entry("c", 6, 0.5f),
       gguf_entry("d", 7, std::uint8_t{1}), gguf_entry("e", 10, std::uint64_t{1} << 40), gguf_text("f", "text"),
       gguf_list("g", std::vector<std::uint32_t>{3, 1}), gguf_list("h", std::vector<std::string>{"a", "vocabulary"})},
      {gguf_matrix("one", 2, 3, [](index i, index j) { return 10.0 * double(i) + double(j); }),
       {"norm", 0, {5}, buffer(20)},
       {"blocks", 8, {64, 3}, buffer(6 * 34)}});
  const auto parsed = parse_gguf("m.gguf", file);
  CHECK(std::get<std::int64_t>(parsed.metadata.at("a")) == 200);
  CHECK(std::get<std::int64_t>(parsed.metadata.at("b")) == -7);
  CHECK(std::get<double>(parsed.metadata.at("c")) == 0.5);
  CHECK(std::get<bool>(parsed.metadata.at("d")));
  CHECK(std::get<std::int64_t>(parsed.metadata.at("e")) == std::int64_t{1} << 40);
  CHECK(std::get<std::string>(parsed.metadata.at("f")) == "text");
  CHECK(std::get<std::vector<std::int64_t>>(parsed.metadata.at("g")) == std::vector<std::int64_t>{3, 1});
  CHECK_FALSE(parsed.metadata.contains("h"));
  REQUIRE(parsed.tensors.size() == 3);
  CHECK(parsed.tensors[0].dimensions == std::vector<std::int64_t>{3, 2});
  CHECK(parsed.tensors[2].format->name == "Q8_0");
  CHECK(parsed.tensors[2].bytes.size() == 6 * 34);
  CHECK(parsed.tensors[2].bytes.data() + 6 * 34 == file.data() + file.size());
}

TEST_CASE("a damaged GGUF file is refused: cut at any length, or with wrong numbers") {
  const std::vector<buffer> metadata{gguf_text("general.name", "m"), gguf_list("l", std::vector<std::uint32_t>{1})};
  const std::vector<gguf_item> items{gguf_matrix("one", 2, 3, [](index, index) { return 1.0; })};
  const auto rejection = [](std::span<const std::byte> file) {
    return message_of([&] { parse_gguf("m.gguf", file); });
  };
  const auto whole = gguf(metadata, items);
  REQUIRE(rejection(whole).empty());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(rejection(buffer(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))).empty());
  }
  const auto check = [&](const buffer& file, const std::string& part) {
    const auto message = rejection(file);
    CAPTURE(message);
    CHECK(message.starts_with("m.gguf: "));
    CHECK(contains(message, part));
  };
  check(buffer(100), "begins with GGUF");
  check(gguf(metadata, items, {.version = 1}), "version 2 or 3, got 1");
  check(gguf(metadata, items, {.version = 0x03000000}), "big-endian");
  check(gguf(metadata, items, {.more_tensors = std::uint64_t{1} << 60}), "number of tensors: expected at most");
  check(gguf(metadata, items, {.more_entries = std::uint64_t{1} << 60}), "number of metadata entries");
  check(gguf(metadata, items, {.more_offset = 8}), "a multiple of 32, got 8");
  check(gguf(metadata, items, {.more_offset = 64}), "tensor 'one': expected 24 bytes from byte 64");
  check(gguf(metadata, items, {.more_offset = ~std::uint64_t{31}}), "truncated?");
  check(gguf(metadata, {items[0], items[0]}), "'one' twice");
  check(gguf({metadata[0], metadata[0]}, items), "each metadata key once, got 'general.name' twice");
  check(gguf({gguf_entry("k", 13, std::uint8_t{0})}, items),
        "metadata 'k': expected a type of value from 0 to 12, got 13");
  check(gguf({gguf_entry("general.alignment", 4, std::uint32_t{0})}, items), "'general.alignment'");
  check(gguf(metadata, {{"t", 99, {4}, buffer(16)}}), "got number 99");
  check(gguf(metadata, {{"t", 8, {33, 2}, buffer(80)}}), "a multiple of 32 elements, as Q8_0 has them");
  check(gguf(metadata, {{"t", 0, {1, 1, 1, 1, 1}, buffer(4)}}), "at most 4 dimensions, got 5");
  check(gguf(metadata, {{"t", 0, {std::uint64_t{1} << 40, std::uint64_t{1} << 40}, buffer(4)}}), "fewer than 2^48");
  check(gguf(metadata, {{"t", 0, {~std::uint64_t{0}}, buffer(4)}}), "dimensions below 2^63");
}

TEST_CASE("any byte of a GGUF file may be any other: it is read, or refused, and nothing beyond the file is touched") {
  const auto whole = gguf({gguf_text("general.architecture", "llama"), gguf_list("l", std::vector<std::uint32_t>{1, 2}),
                           gguf_list("t", std::vector<std::string>{"a", "b"})},
                          {gguf_matrix("blk.0.attn_q.weight", 2, 3, [](index, index) { return 1.0; }),
                           {"blocks", 12, {256, 2}, buffer(288)}});
  std::size_t refused = 0, read = 0;
  for (std::size_t at = 0; at < whole.size() - 320; ++at)
    for (const int mask : {1, 0x80, 0xff}) {
      auto file = whole;
      file[at] ^= static_cast<std::byte>(mask);
      const auto message = message_of([&] {
        double sum = 0.0;
        for (const auto& tensor : parse_gguf("m.gguf", file).tensors)
          for (const auto byte : tensor.bytes) sum += std::to_integer<int>(byte);
        CHECK(sum >= 0.0);
      });
      (message.empty() ? read : refused) += 1;
    }
  CHECK(refused > 200);
  CHECK(read > 200);
}

TEST_CASE("names say what a matrix does, and in which layer") {
  const auto check = [](const std::string& name, role what, index layer) {
    CAPTURE(name);
    const auto place = place_of(name);
    CHECK(place.what == what);
    CHECK(place.layer == layer);
  };
  check("model.embed_tokens.weight", role::embedding, -1);
  check("lm_head.weight", role::unembedding, -1);
  check("model.layers.12.self_attn.k_proj.weight", role::k, 12);
  check("model.language_model.layers.0.mlp.down_proj.weight", role::down, 0);
  check("transformer.h.3.attn.c_attn.weight", role::qkv, 3);
  check("h.3.mlp.c_fc.weight", role::up, 3);
  check("wte.weight", role::embedding, -1);
  check("gpt_neox.layers.5.attention.query_key_value.weight", role::qkv, 5);
  check("gpt_neox.embed_in.weight", role::embedding, -1);
  check("embed_out.weight", role::unembedding, -1);
  check("model.layers.1.mlp.gate_up_proj.weight", role::gate_up, 1);
  check("model.layers.1.self_attn.dense.weight", role::o, 1);
  check("token_embd.weight", role::embedding, -1);
  check("output.weight", role::unembedding, -1);
  check("blk.31.ffn_gate.weight", role::gate, 31);
  check("blk.31.attn_output.weight", role::o, 31);
  for (const auto* name :
       {"model.vision_tower.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.q_proj.bias",
        "model.layers.x.self_attn.q_proj.weight", "model.layers.-1.self_attn.q_proj.weight",
        "model.layers.0.mlp.experts.3.gate_proj.weight", "position_embd.weight", ""})
    check(name, role::other, -1);
}

TEST_CASE("a directory: config.json, shards by their index; what does not fit is refused") {
  const auto bytes_of = [](const std::string& text) {
    buffer out;
    append(out, text);
    return out;
  };
  const temporary_folder folder;
  const auto rejection = [&] { return message_of([&] { open_model(folder / "."); }); };
  CHECK(contains(rejection(), "got none in it"));
  folder.write("b.safetensors", safetensors({matrix(data_type::bf16, 0, 4, 6, "lm_head.weight")}));
  folder.write("a.safetensors", safetensors({matrix(data_type::f16, 0, 4, 6, "model.embed_tokens.weight"),
                                             {"norm", "F32", {6}, buffer(24)},
                                             {"experts", "F32", {1, 2, 3}, buffer(24)}}));
  folder.write("config.json", bytes_of(R"({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text",
      "num_attention_heads": 3, "num_key_value_heads": 1, "hidden_size": 6, "tie_word_embeddings": true}})"));
  const auto all = open_model(folder / ".");
  REQUIRE(all.weights.size() == 2);
  CHECK(all.weights[0].name == "model.embed_tokens.weight");
  CHECK(all.weights[0].format_name == "F16");
  CHECK(all.others == std::vector<std::string>{"experts"});
  CHECK(all.config.architecture == "gemma3_text");
  CHECK(all.config.heads == std::vector<index>{3});
  CHECK(all.config.key_heads == std::vector<index>{1});
  CHECK(all.config.key_size == 2);
  CHECK(all.config.ties_embeddings);

  folder.write("model.safetensors.index.json", bytes_of(R"({"weight_map": {"lm_head.weight": "b.safetensors"}})"));
  CHECK(open_model(folder / ".").weights.size() == 1);
  CHECK(open_model(folder / "a.safetensors").config.heads == std::vector<index>{3});  // config.json beside it
  folder.write("model.safetensors.index.json", bytes_of(R"({"weight_map": {"x": "../b.safetensors"}})"));
  CHECK(contains(rejection(), "the name of a file beside it"));
  folder.write("model.safetensors.index.json", bytes_of(R"({"weight_map": {"x": "b.safetensors\u0000.bin"}})"));
  CHECK(contains(rejection(), "the name of a file beside it"));
  folder.write("model.safetensors.index.json",
               bytes_of(R"({"weight_map": {"lm_head.weight": "b.safetensors", "norm": "a.safetensors",
                                           "lost.a": "b.safetensors", "lost.b": "b.safetensors"}})"));
  CHECK(contains(rejection(), "'lost.a': expected a tensor of this name in 'b.safetensors', got none"));
  folder.write("model.safetensors.index.json", bytes_of("{}"));
  CHECK(contains(rejection(), "a weight_map"));
  // Deeper than a stack of calls, as a list or as text_config, which is copied.
  const auto deep = [](const std::string& before, const std::string& after, int depth) {
    std::string text;
    for (int i = 0; i < depth; ++i) text += before;
    text += "1";
    for (int i = 0; i < depth; ++i) text += after;
    return text;
  };
  const auto lists = deep("[", "]", 500'000), objects = deep(R"({"a":)", "}", 500'000);
  for (const auto& text : {R"({"weight_map": )" + lists + "}", R"({"weight_map": {"x": )" + lists + "}}", lists}) {
    folder.write("model.safetensors.index.json", bytes_of(text));
    CHECK(contains(rejection(), "nested levels"));
  }
  std::filesystem::remove(folder / "model.safetensors.index.json");
  for (const auto& text : {R"({"n_head": )" + lists + "}", R"({"text_config": )" + objects + "}"}) {
    folder.write("config.json", bytes_of(text));
    CHECK(contains(rejection(), "config.json: expected at most 64 nested levels"));
  }
  folder.write("config.json", bytes_of(R"({"n_head": 2, "deep": )" + deep(R"({"a":)", "}", 60) + "}"));
  CHECK(open_model(folder / ".").config.heads == std::vector<index>{2});
  folder.write("config.json", bytes_of(R"({"n_head": 2, "n_head": 3})"));
  CHECK(contains(rejection(), "expected each name once, got 'n_head' twice"));
  folder.write("config.json", bytes_of("[]"));
  CHECK(contains(rejection(), "expected a JSON object, got array"));
  std::filesystem::remove(folder / "model.safetensors.index.json");
  folder.write("config.json", bytes_of(R"({"num_attention_heads": -3})"));
  CHECK(contains(rejection(), "num_attention_heads: expected a number from 0 to 2^32, got '-3'"));
  folder.write("config.json", bytes_of("{"));
  CHECK(contains(rejection(), "config.json: expected JSON in UTF-8, got an error at byte 1"));
  folder.write("config.json", bytes_of("{}"));
  folder.write("c.safetensors", safetensors({matrix(data_type::f16, 0, 4, 6, "lm_head.weight")}));
  CHECK(contains(rejection(), "each tensor in one file, got 'lm_head.weight'"));
}

TEST_CASE("a GGUF file tells its heads, one number or one a layer; rows are read as the format says") {
  const temporary_folder folder;
  const auto path = folder.write(
      "m.gguf",
      gguf({gguf_text("general.architecture", "llama"), gguf_text("general.name", "tiny"),
            gguf_entry("llama.attention.head_count", 4, std::uint32_t{4}),
            gguf_list("llama.attention.head_count_kv", std::vector<std::uint32_t>{2, 4}),
            gguf_entry("llama.embedding_length", 4, std::uint32_t{12})},
           {gguf_matrix("token_embd.weight", 2, 3, [](index i, index j) { return 10.0 * double(i) + double(j); })}));
  const auto opened = open_model(path);
  CHECK(opened.title == "tiny");
  CHECK(opened.config.architecture == "llama");
  CHECK(of_layer(opened.config.heads, 7) == 4);
  CHECK(of_layer(opened.config.key_heads, 1) == 4);
  CHECK(of_layer(opened.config.key_heads, 2) == 0);
  CHECK(opened.config.key_size == 3);
  CHECK(opened.config.value_size == 3);
  const auto& w = opened.weights.at(0);
  CHECK(w.rows == 2);
  CHECK(w.cols == 3);
  std::array<double, 3> row{};
  layerwise::embedding_traits<weight>::read_row(w, 1, row.data());
  CHECK(row == std::array{10.0, 11.0, 12.0});
}

}  // namespace examples::test
