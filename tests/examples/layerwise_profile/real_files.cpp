// Files as their writers write them, through the built program: each is read as it was meant, or refused with what to
// add to the command line. The rows turn by 10 degrees a layer, so that every true layer has one displacement.

#include "common/subprocess.hpp"
#include "examples/dump_files.hpp"
#include "examples/run_program.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <string>
#include <vector>

namespace examples::test {
namespace {

using nlohmann::json;

constexpr double ten_degrees = 0.00759612349389597;  // sin^2(5 degrees)

/// Token t of layer l is the unit vector at 17 t + 10 l degrees, turned by `more`.
double turned(index layer, index token, index dim, double more = 0) {
  const double angle =
      (17.0 * static_cast<double>(token) + 10.0 * static_cast<double>(layer) + more) * std::numbers::pi / 180;
  return dim == 0 ? std::cos(angle) : std::sin(angle);
}

using places = std::vector<index>;

entry states(const std::string& name, const places& shape, const std::function<double(const places&)>& at,
             data_type type = data_type::f32) {
  return {name, type_name(type), shape, encode(type, shape, at)};
}

/// [layer][token][2]
entry stack(const std::string& name, index layers, index tokens, data_type type = data_type::f32) {
  return states(name, {layers, tokens, 2}, [](const places& p) { return turned(p[0], p[1], p[2]); }, type);
}

/// [token][layer][2], from token `first` on
entry by_token(const std::string& name, index layers, index tokens, index first = 0) {
  return states(name, {tokens, layers, 2}, [=](const places& p) { return turned(p[1], first + p[0], p[2]); });
}

entry one_layer(const std::string& name, index layer, index tokens = 4) {
  return states(name, {tokens, 2}, [=](const places& p) { return turned(layer, p[0], p[1]); });
}

/// [batch][3][2], sequence b turned by 40 b degrees
entry one_batch(const std::string& name, index layer, index batch = 2, index tokens = 3) {
  return states(name, {batch, tokens, 2},
                [=](const places& p) { return turned(layer, p[1], p[2], 40.0 * static_cast<double>(p[0])); });
}

entry integers(const std::string& name, const places& shape, const std::vector<std::int64_t>& values) {
  buffer bytes;
  append(bytes, values.data(), values.size() * sizeof values[0]);
  return {name, "I64", shape, bytes};
}

buffer as_npy(const entry& item, data_type type = data_type::f32) { return npy(item, type); }

/// What the program reads of those files: every layer turns by 10 degrees.
json check_read(std::vector<std::string> arguments, std::size_t layers, index tokens, double precision = 1e-7) {
  arguments.insert(arguments.end(), {"--format", "json"});
  const auto result = run(arguments);
  CAPTURE(result.errors);
  REQUIRE(result.status == 0);
  auto document = json::parse(result.output);
  CHECK(document["tokens"] == tokens);
  CHECK(document["layers"].size() == layers);
  for (const auto& layer : document["layers"])
    CHECK(std::abs(layer["displacement"].get<double>() - ten_degrees) < precision);
  return document;
}

void check_refused(const std::vector<std::string>& arguments, const std::vector<std::string>& parts) {
  const auto result = run(arguments);
  CAPTURE(result.errors);
  CHECK(result.status == 1);
  CHECK(result.output.empty());
  CHECK(std::ranges::count(result.errors, '\n') == 1);
  CHECK(result.errors.starts_with("layerwise-profile: error: "));
  for (const auto& part : parts) {
    CAPTURE(part);
    CHECK(contains(result.errors, part));
  }
}

/// From "110": written as a list, g++ 12 with AVX-512 makes ones of all of {1, 1, 1, 1, 1, 1, 0, 0}.
std::vector<std::int64_t> bits(std::string_view text) {
  std::vector<std::int64_t> result;
  for (const char c : text) result.push_back(c - '0');
  return result;
}

const auto padded_mask = bits("11111100");

/// Two sequences of four positions: real tokens turn by 10 degrees a layer, padding by 90 or is zeros.
entry padded(const std::vector<std::int64_t>& mask, bool zeros) {
  return states("hidden_states", {3, 8, 2}, [=](const places& p) {
    if (mask[static_cast<std::size_t>(p[1])] == 1) return turned(p[0], p[1], p[2]);
    return zeros ? 0.0 : turned(9 * p[0], p[1], p[2]);
  });
}

}  // namespace

// ---- axes

TEST_CASE("one [batch][token][dim] array a layer is layers, not shards") {
  const temporary_folder folder;
  std::vector<std::string> files;
  for (const index l : {0, 1, 2, 3})
    files.push_back(folder.write(fmt::format("layer_{}.npy", l), as_npy(one_batch("", l))));
  const auto document = check_read(files, 3, 6);
  CHECK(document["input"]["axes"] == "[batch][token][dim]");
  CHECK(document["input"]["tensors"] == json{"layer_0", "layer_1", "layer_2", "layer_3"});
  check_read({folder / ""}, 3, 6);  // the folder itself

  // Where the names speak of no layers either reading is possible.
  std::vector<std::string> bare;
  for (const index l : {0, 1, 2, 3})
    bare.push_back(folder.write(fmt::format("x{}.npy", l), as_npy(one_batch("", l, 5, 8))));
  check_refused(bare, {"--layout layer-major", "'[batch][token][dim]'"});
  bare.insert(bare.end(), {"--layout", "[batch][token][dim]"});
  check_read(bare, 3, 40);

  // Tensors of one name in files that are named.
  std::vector<std::string> same;
  for (const index l : {10, 0, 2})
    same.push_back(folder.write(fmt::format("block.{}.safetensors", l), safetensors({one_layer("h", l)})));
  CHECK(run(same).status == 0);
  CHECK(contains(run(same).output, "read 'block.0' ... 'block.10'"));
}

TEST_CASE("the states of the last layer are no stack") {
  const temporary_folder folder;
  const auto named = folder.write("a.safetensors", safetensors({one_batch("last_hidden_state", 0)}));
  check_refused({named}, {"expected the states of all layers", "outputs.hidden_states"});
  check_refused({folder.write("last_hidden_state.npy", as_npy(one_batch("", 0)))},
                {"expected the states of all layers"});
  // Token ids tell that [2][3] are a batch.
  check_refused({folder.write("b.safetensors", safetensors({one_batch("outputs", 0),
                                                            integers("input_ids", {2, 3}, {1, 2, 3, 4, 5, 6})}))},
                {"expected the states of all layers", "input_ids"});
  check_refused({folder.write("c.npy", as_npy(one_batch("", 0, 8, 200)))}, {"8 layers or a batch of 8", "--layout"});
  check_refused({named, "--layout", "[batch][token][dim]"}, {"expected the states of all layers"});
}

TEST_CASE("vLLM's files are [token][layer][dim], one a request") {
  const temporary_folder folder;
  const auto file = [&](const std::string& name, index layers, index tokens, index first = 0) {
    std::vector<std::int64_t> ids(static_cast<std::size_t>(tokens), 7);
    return folder.write(
        name, safetensors({by_token("hidden_states", layers, tokens, first), integers("token_ids", {tokens}, ids)}));
  };
  const auto first = file("req-10.safetensors", 6, 4), second = file("req-2.safetensors", 6, 7, 4);
  const auto one = check_read({first}, 5, 4);
  CHECK(one["input"]["axes"] == "[token][layer][dim]");
  CHECK(contains(one["input"]["axes_because"].get<std::string>(), "token_ids"));
  check_read({first, second}, 5, 11);
  const auto all = check_read({folder / ""}, 5, 11);
  CHECK(all["files"][0].get<std::string>().ends_with("req-2.safetensors"));
  check_read({first, second, "--skip-first", "1"}, 5, 9);  // of each request
  check_read({first, second, "--last-only"}, 5, 2);

  // As many tokens as states.
  CHECK(check_read({file("square.safetensors", 6, 6)}, 5, 6)["input"]["axes"] == "[token][layer][dim]");

  // Some of a model's layers keep their numbers.
  const auto numbered = check_read({first, "--layer-numbers", "1,2,3,8,9,28"}, 5, 4);
  CHECK(numbered["layers"][2]["layer"] == 8);
  CHECK(numbered["input"]["state_numbers"] == json{1, 2, 3, 8, 9, 28});
  check_refused({first, "--layer-numbers", "1,2"}, {"--layer-numbers", "6 states", "got 2"});

  // Without the token ids the shape leaves it open, but not between files of different lengths.
  const temporary_folder plain;
  const auto a = plain.write("a.safetensors", safetensors({by_token("hidden_states", 33, 20)}));
  check_refused({a}, {"20 states of 33 tokens", "33 states of 20 tokens", "--layout"});
  check_read({a, "--layout", "token-major"}, 32, 20);
  const auto b = plain.write("b.safetensors", safetensors({by_token("hidden_states", 33, 25, 20)}));
  CHECK(contains(check_read({a, b}, 32, 45)["input"]["axes_because"].get<std::string>(), "differs between files"));
  check_refused({folder / "req-2.safetensors", file("deep.safetensors", 5, 9)},
                {"expected the states", "5 states of 9 tokens"});
}

TEST_CASE("a shape that leaves no doubt is taken, and said so") {
  const temporary_folder folder;
  const auto check = [&](index a, index b, const char* axes) {
    CAPTURE(a);
    const auto path = folder.write(
        "a.npy", as_npy(states("", {a, b, 2}, [](const places& p) { return turned(p[0], p[1], p[2]) + 3.0; })));
    const auto result = run({path, "--format", "csv"});
    if (axes == nullptr) {
      CHECK(result.status == 1);
      CHECK(contains(result.errors, "--layout"));
    } else {
      CHECK(result.status == 0);
      CHECK(contains(result.errors, fmt::format("as {} (by its shape)", axes)));  // CSV has no other place for it
    }
  };
  check(13, 4096, "[layer][token][dim]");
  check(4096, 13, "[token][layer][dim]");
  check(81, 16, "[layer][token][dim]");
  check(24, 33, nullptr);
  check(16, 25, nullptr);
  check(2, 6, "[layer][token][dim]");
  check(20, 33, nullptr);
  check(12, 13, nullptr);
  check(300, 400, nullptr);
  check(16, 512, nullptr);  // a batch?
}

TEST_CASE("stacks of four dimensions, and dicts of three") {
  const temporary_folder folder;
  const auto four = [](index layers, index batch, index tokens) {
    return states("hidden_states", {layers, batch, tokens, 2},
                  [=](const places& p) { return turned(p[0], p[1] * tokens + p[2], p[3]); });
  };
  const auto one = check_read({folder.write("a.safetensors", safetensors({four(3, 1, 6)}))}, 2, 6);
  CHECK(one["input"]["axes"] == "[layer][batch][token][dim]");
  check_read({folder.write("b.safetensors", safetensors({four(3, 2, 6)}))}, 2, 12);
  check_read({folder.write("b2.safetensors", safetensors({four(3, 2, 6)})), "--skip-first", "1"}, 2, 10);
  // Of one prompt, with its ids.
  check_read({folder.write("one.safetensors",
                           safetensors({four(13, 1, 10), integers("input_ids", {1, 10}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 1}),
                                        integers("attention_mask", {1, 10}, bits("1111111111"))}))},
             12, 10);
  check_read(
      {folder.write("flat.safetensors",
                    safetensors({four(13, 1, 10), integers("input_ids", {10}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 1})}))},
      12, 10);
  // torch.stack(..., dim=1): the sequences of a layer do not lie together.
  const auto swapped =
      states("hidden_states", {2, 3, 6, 2}, [](const places& p) { return turned(p[1], p[0] * 6 + p[2], p[3]); });
  check_read({folder.write("c.safetensors",
                           safetensors({swapped, integers("input_ids", {2, 6}, std::vector<std::int64_t>(12, 5))})),
              "--layout", "[batch][layer][token][dim]"},
             2, 12);
  const auto wide =
      states("hidden_states", {4, 3, 6, 2}, [](const places& p) { return turned(p[1], p[0] * 6 + p[2], p[3]); });
  check_read({folder.write("d.safetensors",
                           safetensors({wide, integers("attention_mask", {4, 6}, std::vector<std::int64_t>(24, 1))})),
              "--layout", "[batch][layer][token][dim]", "--last-only"},
             2, 4);
  const auto last =
      states("hidden_states", {6, 5, 3, 2}, [](const places& p) { return turned(p[2], p[0] * 5 + p[1], p[3]); });
  check_read({folder.write("e.safetensors",
                           safetensors({last, integers("input_ids", {6, 5}, std::vector<std::int64_t>(30, 5))}))},
             2, 30);

  // Without ids, by the shape.
  const auto by_shape = [&](const places& shape, std::size_t layer_axis) {
    const auto path = folder.write("s.safetensors", safetensors({states("hidden_states", shape, [=](const places& p) {
                                     index token = 0;
                                     for (std::size_t i = 0; i < 3; ++i)
                                       token = i == layer_axis ? token : token * shape[i] + p[i];
                                     return turned(p[layer_axis], token, p[3]);
                                   })}));
    return path;
  };
  check_read({by_shape({4, 2, 3, 2}, 0)}, 3, 6);
  check_read({by_shape({5, 3, 20, 2}, 0)}, 4, 60);
  check_read({by_shape({12, 8, 33, 2}, 0)}, 11, 264);
  for (const places& shape : {places{13, 32, 8, 2}, {12, 13, 64, 2}, {4, 13, 64, 2}, {4, 200, 13, 2}})
    check_refused({by_shape(shape, 0)}, {"which axis is which is open"});
  check_refused({by_shape({13, 25, 8, 2}, 0)},
                {"which axis is which is open", "--layout '[batch][layer][token][dim]'"});

  std::vector<entry> dict;
  for (const index l : {0, 1, 2})
    dict.push_back(
        states(fmt::format("hidden_states.{}", l), {1, 6, 2}, [=](const places& p) { return turned(l, p[1], p[2]); }));
  check_read({folder.write("f.safetensors", safetensors(dict))}, 2, 6);
  check_refused({folder / "f.safetensors", "--tensor", "hidden_states.1"},
                {"expected the states of all layers, got those of one"});
  dict.push_back(states("last_hidden_state", {1, 6, 2}, [](const places& p) { return turned(7, p[1], p[2]); }));
  dict.push_back(states("logits", {1, 6, 9}, [](const places&) { return 1.0; }));
  const auto more = check_read({folder.write("g.safetensors", safetensors(dict))}, 2, 6);
  CHECK(contains(more["input"]["not_read"].dump(), "last_hidden_state"));
}

// ---- order

TEST_CASE("layers in files are ordered by number, whatever order the shell gives") {
  const temporary_folder folder;
  std::vector<std::string> files;
  for (const index l : {0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9})
    files.push_back(folder.write(fmt::format("layer_{}.npy", l), as_npy(one_layer("", l))));
  const auto document = check_read(files, 11, 4);
  CHECK(document["layers"][3]["jump_rate"].get<double>() < 1e-4);
  CHECK(document["input"]["order_because"] == "by number");
  CHECK(document["input"]["tensors"][10] == "layer_10");
  files.insert(files.end(), {"--order", "given"});
  const auto given = run(files);
  CHECK(given.status == 0);
  CHECK(contains(given.output, "as given"));

  // Some of the layers keep their numbers.
  const auto some = check_read({files[0], files[1], files[4]}, 2, 4);
  CHECK(some["layers"][1]["layer"] == 2);
  const temporary_folder sparse;
  std::vector<std::string> every_eighth;
  for (const index l : {0, 8, 16})
    every_eighth.push_back(sparse.write(fmt::format("layer_{}.npy", l), as_npy(one_layer("", l / 8))));
  CHECK(check_read(every_eighth, 2, 4)["layers"][1]["layer"] == 16);

  const auto before = folder.write("before.npy", as_npy(one_layer("", 0))),
             after = folder.write("after.npy", as_npy(one_layer("", 1)));
  check_refused({after, before}, {"order of the layers is open", "--order given"});
  check_read({before, after, "--order", "given"}, 1, 4);
  check_refused({before, before}, {"each file once"});
  check_refused({files[1], folder.write("layer_01.npy", as_npy(one_layer("", 3))), files[0]},
                {"order of the layers is open"});
}

TEST_CASE("tensors named after modules come in the model's order") {
  const temporary_folder folder;
  const auto check = [&](std::vector<std::string> names, const std::string& how) {
    std::vector<entry> entries;
    for (std::size_t i = 0; i < names.size(); ++i) entries.push_back(one_layer(names[i], static_cast<index>(i)));
    // As save_file does: by name, which says nothing.
    std::ranges::sort(entries, {}, &entry::name);
    const auto document = check_read({folder.write("a.safetensors", safetensors(entries))}, names.size() - 1, 4);
    CHECK(document["input"]["tensors"] == json(names));
    CHECK(document["input"]["order_because"] == how);
  };
  const std::string all = "embeddings, blocks by number, final norm";
  check({"hook_embed", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post", "blocks.2.hook_resid_post",
         "ln_final.hook_normalized"},
        all);
  check({"transformer.wte", "transformer.h.0", "transformer.h.1", "transformer.h.2", "transformer.ln_f"}, all);
  check(
      {"gpt_neox.embed_in", "gpt_neox.layers.0", "gpt_neox.layers.1", "gpt_neox.layers.2", "gpt_neox.final_layer_norm"},
      all);
  check({"model.embed_tokens", "model.layers.0", "model.layers.1", "model.layers.10", "model.norm"}, all);
  check({"inp_embd", "l_out-0", "l_out-1", "l_out-2", "result_norm"}, all);
  check({"blocks.0.hook_resid_pre", "blocks.0.hook_resid_mid", "blocks.0.hook_resid_post", "blocks.1.hook_resid_mid",
         "blocks.1.hook_resid_post"},
        "by number");
  check({"bert.embeddings", "bert.encoder.layer.0", "bert.encoder.layer.1"}, "embeddings, blocks by number");

  // A block's input is the output of the one before; what parts of blocks give is no state.
  std::vector<entry> cache;
  for (const index l : {0, 1, 2}) {
    const auto block = fmt::format("blocks.{}", l);
    cache.push_back(one_layer(block + ".hook_resid_pre", l));
    cache.push_back(one_layer(block + ".hook_resid_post", l + 1));
    cache.push_back(one_layer(block + ".hook_mlp_out", 30 - 7 * l));
    cache.push_back(one_layer(block + ".hook_attn_out", 30 - 9 * l));
  }
  CHECK(check_read({folder.write("b.safetensors", safetensors(cache))}, 3, 4)["input"]["not_read"].size() == 8);

  const auto odd =
      folder.write("c.safetensors", safetensors({one_layer("zebra", 0), one_layer("apple", 1), one_layer("mango", 2)}));
  check_refused({odd}, {"order of the layers is open", "--order given", "--tensors"});
  check_read({odd, "--order", "given"}, 2, 4);
  check_read({odd, "--tensors", "zebra,apple,mango"}, 2, 4);
  check_read({folder / "b.safetensors", "--tensors", "blocks.0.hook_resid_pre,blocks.*.hook_resid_post"}, 3, 4);
  check_refused({odd, "--tensors", "zebra,horse"}, {"--tensors horse", "'mango'"});
}

// ---- masks

TEST_CASE("padding is left out, on either side, and said so") {
  const temporary_folder folder;
  const std::map<std::string, std::string> metadata{{"layout", "layer-major"}, {"sequence_length", "4"}};
  for (const auto& mask : {padded_mask, bits("11110011")})
    for (const bool zeros : {false, true}) {
      const auto path = folder.write(
          "a.safetensors", safetensors({padded(mask, zeros), integers("attention_mask", {2, 4}, mask)}, metadata));
      const auto document = check_read({path}, 2, 6);
      CHECK(document["input"]["mask"] == "attention_mask");
      CHECK(document["input"]["tokens_left_out"] == 2);
      check_read({path, "--skip-first", "1"}, 2, 4);  // of the real ones
      check_read({path, "--skip-first", "2"}, 2, 2);
      check_read({path, "--last-only"}, 2, 2);
      CHECK(contains(run({path}).output, "mask 'attention_mask'; 2 of 8 tokens left out"));
      // The mask in a file of its own, or under another name.
      const auto bare =
          folder.write("b.safetensors", safetensors({padded(mask, zeros), integers("valid", {8}, mask)}, metadata));
      const auto other = folder.write("m.npy", npy("<i8", false, {2, 4}, integers("", {}, mask).bytes));
      check_read({bare, "--mask", other}, 2, 6);
      check_read({bare, "--mask", "valid"}, 2, 6);
      check_refused({bare}, {"'valid' may be a mask", "--mask valid"});
      const auto without = run({path, "--mask", "none", "--format", "json"});
      if (zeros) {
        CHECK(without.status == 1);
      } else {
        CHECK(json::parse(without.output)["layers"][0]["displacement"].get<double>() ==
              doctest::Approx(0.13069709).epsilon(1e-6));
        CHECK(json::parse(without.output)["input"]["mask"].is_null());
      }
    }
}

TEST_CASE("a mask whose meaning is open is refused") {
  const temporary_folder folder;
  const auto states_only = padded(padded_mask, false);
  const auto with = [&](const entry& mask) {
    return folder.write("a.safetensors", safetensors({states_only, mask}, {{"layout", "layer-major"}}));
  };
  check_refused({with(integers("padding_mask", {2, 4}, padded_mask))},
                {"'padding_mask' may be a mask", "--mask padding_mask", "--mask none"});
  check_read({folder / "a.safetensors", "--mask", "padding_mask"}, 2, 6);
  check_refused({with(integers("attention_mask", {2, 4}, bits("11112200")))}, {"got 2", "--mask none"});
  check_refused({with(integers("attention_mask", {2, 3}, bits("111110")))}, {"2 x 3", "--mask none"});
  check_refused({with(integers("attention_mask", {2, 4}, std::vector<std::int64_t>(8, 0)))},
                {"expected tokens to profile", "leaves out all"});
  check_refused({with({"attention_mask", "F32", {2, 4}, buffer(32)})}, {"expected integers"});
  check_refused({with(integers("ids", {1}, {1})), "--mask", "nothing"}, {"--mask nothing"});

  // A .npy file of integers is a mask or token ids where its name says so.
  const temporary_folder arrays;
  std::vector<std::string> files;
  for (const index l : {0, 1, 2})
    files.push_back(arrays.write(fmt::format("layer_{}.npy", l), as_npy(states("", {2, 4, 2}, [=](const places& p) {
                                   const bool real = padded_mask[static_cast<std::size_t>(4 * p[0] + p[1])] == 1;
                                   return turned(real ? l : 9 * l, 4 * p[0] + p[1], p[2]);
                                 }))));
  arrays.write("attention_mask.npy", npy("<i8", false, {2, 4}, integers("", {}, padded_mask).bytes));
  CHECK(check_read({arrays / ""}, 2, 6)["input"]["mask"] == "attention_mask");
  arrays.write("zz.npy", npy("<i8", false, {2, 4}, integers("", {}, padded_mask).bytes));
  check_refused({arrays / ""}, {"zz.npy", "expected hidden states in floating point", "--mask"});
}

TEST_CASE("token ids that look padded, without a mask, are not taken for tokens") {
  const temporary_folder folder;
  const auto with = [&](const std::vector<std::int64_t>& ids) {
    return folder.write("a.safetensors",
                        safetensors({stack("hidden_states", 3, 8), integers("input_ids", {2, 4}, ids)}));
  };
  check_refused({with({5, 6, 7, 8, 9, 3, 0, 0})},
                {"'input_ids' looks padded", "2 times 0 at the end of sequence 1", "--mask none"});
  check_refused({with({0, 0, 7, 8, 9, 3, 1, 2})}, {"2 times 0 at the beginning of sequence 0"});
  check_read({folder / "a.safetensors", "--mask", "none"}, 2, 8);
  check_read({with({5, 6, 7, 8, 9, 3, 1, 0})}, 2, 8);
  check_refused({with({5, 6, 0, 0, 7, 8, 0, 0})}, {"looks padded"});
  check_refused({folder.write("b.safetensors", safetensors({stack("hidden_states", 3, 8),
                                                            integers("input_ids", {1, 8}, {5, 6, 7, 0, 0, 0, 0, 0})}))},
                {"looks padded"});
}

TEST_CASE("lengths of sequences tell where they begin") {
  const temporary_folder folder;
  const auto path =
      folder.write("a.safetensors", safetensors({stack("hidden_states", 3, 9), integers("seq_lens", {2}, {4, 5})}));
  check_read({path, "--skip-first", "1"}, 2, 7);
  check_read({path, "--last-only"}, 2, 2);
  const auto ends = folder.write("b.safetensors",
                                 safetensors({stack("hidden_states", 3, 9), integers("cu_seqlens", {3}, {0, 4, 9})}));
  check_read({ends, "--skip-first", "1"}, 2, 7);
  check_refused(
      {folder.write("c.safetensors", safetensors({stack("hidden_states", 3, 9), integers("seq_lens", {2}, {4, 4})}))},
      {"seq_lens"});
}

// ---- what a second reader found

TEST_CASE("what lies beside the states is not taken for them") {
  const temporary_folder folder;
  const auto noise = [](const std::string& name, const places& shape) {
    return states(name, shape,
                  [](const places& p) { return std::cos(7.0 * static_cast<double>(p[0] + 3 * p[1] + 11 * p.back())); });
  };
  const auto ids = integers("input_ids", {8}, {1, 2, 3, 4, 5, 6, 7, 8});
  for (const auto* name : {"attn", "past_key_values", "queries", "features"})
    check_read(
        {folder.write("a.safetensors", safetensors({stack("hidden_states", 5, 8), noise(name, {2, 4, 8, 8}), ids}))}, 4,
        8);
  std::vector<entry> layers{noise("router_probs", {4, 300, 16}), noise("pixel_values", {3, 24, 24})};
  for (const index l : {0, 1, 2}) layers.push_back(one_layer(fmt::format("hidden_states.{}", l), l));
  check_read({folder.write("b.safetensors", safetensors(layers))}, 2, 4);

  // A layer of another type or shape would leave a gap.
  std::vector<entry> gap;
  for (const index l : {0, 1, 3}) gap.push_back(one_layer(fmt::format("layers.{}", l), l));
  for (const auto* dtype : {"F64", "F8_E4M3"}) {
    auto with = gap;
    with.push_back({"layers.2", dtype, {4, 2}, buffer(std::string(dtype) == "F64" ? 64 : 8)});
    check_refused({folder.write("c.safetensors", safetensors(with))},
                  {"one shape and type", "'layers.2'", "--tensors"});
  }
  // Weights are no states.
  std::vector<entry> weights{noise("backbone.norm.weight", {1, 8})};
  for (const index l : {0, 1, 2}) weights.push_back(noise(fmt::format("backbone.mixer{}.A_log", l), {300, 8}));
  check_refused({folder.write("d.safetensors", safetensors(weights))}, {"a model's weights", "dump_hidden_states.py"});
}

TEST_CASE("one layer's states, and stacks in numbered tensors, are not taken for a model's layers") {
  const temporary_folder folder;
  for (const auto* name : {"hidden_states.12", "blocks.11.hook_resid_post", "final_layer", "hidden_state", "model.norm",
                           "wte", "last_layer", "pooled_output"})
    check_refused({folder.write("a.safetensors", safetensors({one_batch(name, 0, 4, 200)}))},
                  {"expected the states of all layers"});
  check_refused({folder.write("layer_12.npy", as_npy(one_batch("", 0, 4, 200)))},
                {"expected the states of all layers"});
  for (const auto* name : {"prompt_{}", "sample_{}", "batch.{}", "step{}"}) {
    std::vector<entry> prompts;
    for (const index p : {0, 1, 2}) prompts.push_back(stack(fmt::format(fmt::runtime(name), p), 4, 8));
    check_refused({folder.write("b.safetensors", safetensors(prompts))},
                  {"each is a stack of layers", "--layout '[batch][token][dim]'"});
  }
  std::vector<std::string> last;
  for (const index p : {0, 1, 2})
    last.push_back(folder.write(fmt::format("prompt_{}.safetensors", p),
                                safetensors({one_batch("last_hidden_state", 0, 1, 8 + p)})));
  check_refused(last, {"expected the states of all layers"});

  // [1][token][dim] with its token ids.
  const auto ids = integers("token_ids", {8}, {1, 2, 3, 4, 5, 6, 7, 8});
  check_refused({folder.write("c.safetensors", safetensors({one_batch("hidden_states", 0, 1, 8), ids}))},
                {"those of one"});
  std::vector<std::string> layers;
  for (const index l : {0, 1, 2})
    layers.push_back(
        folder.write(fmt::format("layer_{}.safetensors", l), safetensors({one_batch("hidden_states", l, 1, 8), ids})));
  check_read(layers, 2, 8);

  // A last batch that is shorter.
  std::vector<std::string> batches;
  for (const index b : {0, 1, 2})
    batches.push_back(
        folder.write(fmt::format("outputs_batch_{}.npy", b), as_npy(one_batch("", 0, b == 2 ? 2 : 4, 20))));
  check_refused(batches, {"layers, or a batch", "--layout"});
}

TEST_CASE("numbers and names that mean something else") {
  const temporary_folder folder;
  const auto file = [&](const std::vector<std::string>& names) {
    std::vector<entry> entries;
    for (std::size_t i = 0; i < names.size(); ++i) entries.push_back(one_layer(names[i], static_cast<index>(i)));
    return folder.write("a.safetensors", safetensors(entries));
  };
  check_refused({file({"layer_-3", "layer_-2", "layer_-1"})}, {"order of the layers is open"});
  check_refused({file({"pre_layernorm", "layers.0", "layers.1"})}, {"order of the layers is open"});
  check_refused({file({"checkpoint-100", "checkpoint-200"})}, {"order of the layers is open"});
  check_read({file({"l_out-0", "l_out-1", "l_out-2"})}, 2, 4);
  const auto numbers = [](const json& document) { return document["input"]["state_numbers"]; };
  CHECK(numbers(check_read({file({"embeddings", "layer_1", "layer_2"})}, 2, 4)) == json{0, 1, 2});
  CHECK(numbers(check_read({file({"wte", "h.0", "h.8", "ln_f"})}, 3, 4)) == json{0, 1, 9, 10});
  CHECK(numbers(check_read({file({"hidden_states.0", "hidden_states.1", "norm"})}, 2, 4)) == json{0, 1, 2});
  check_read({file({"gpt2.wte", "gpt2.h.0", "gpt2.h.1", "gpt2.ln_f"})}, 3, 4);
  check_read({file({"lm.layers.0", "lm.layers.1", "lm.layers.2"})}, 2, 4);
  // The one of exactly that name, and not all that begin so.
  std::vector<std::string> twelve;
  for (int l = 0; l < 12; ++l) twelve.push_back(fmt::format("hidden_states.{}", l));
  check_refused({file(twelve), "--tensor", "hidden_states.1"}, {"at least two layers"});
  check_read({file(twelve), "--tensor", "hidden_states."}, 11, 4);
  CHECK(run({folder / "a.safetensors", "--tensors", "*h*i*d*d*e*n*_*s*t*a*t*e*s*9*9*9*9*9*9*9*9*"}).status ==
        1);  // at once
  check_read({"--tensors", "hidden_states.0,hidden_states.1", folder / "a.safetensors"}, 1, 4);
  CHECK(run({folder / "a.safetensors", "--layer-numbers", "5,5"}).status != 0);
}

TEST_CASE("masks under other names and of other shapes are seen") {
  const temporary_folder folder;
  const auto with = [&](const entry& mask) {
    return folder.write("a.safetensors", safetensors({padded(padded_mask, false), mask}, {{"layout", "layer-major"}}));
  };
  for (const auto* name : {"attentionMask", "valid_tokens", "is_padding", "non_pad"})
    check_refused({with(integers(name, {2, 4}, padded_mask))}, {"may be a mask", fmt::format("--mask {}", name)});
  check_refused({with({"padding_mask", "F32", {2, 4}, buffer(32)})}, {"may be a mask"});
  check_read({with(integers("attention_mask", {2, 1, 1, 4}, padded_mask))}, 2, 6);
  check_read({with(integers("attention_mask", {1, 8}, padded_mask)), "--skip-first", "1", "--sequence-length", "4"}, 2,
             4);
  check_read({with(integers("token_type_ids", {2, 4}, padded_mask)), "--mask", "none", "--tensor", "hidden_states"}, 2,
             8, 1.0);
}

TEST_CASE("one sequence a file, and metadata that are not understood or wrong") {
  const temporary_folder folder;
  const auto one = folder.write(
      "a.safetensors",
      safetensors({states("hidden_states.0", {1, 6, 2}, [](const places& p) { return turned(0, p[1], p[2]); }),
                   states("hidden_states.1", {1, 6, 2}, [](const places& p) { return turned(1, p[1], p[2]); })}));
  check_read({one, "--skip-first", "1"}, 1, 5);
  check_read({one, "--last-only"}, 1, 1);
  const auto plain = folder.write("b.safetensors", safetensors({stack("hidden_states", 3, 8)}));
  check_refused({plain, "--last-only"}, {"--sequence-length N, or 0 if each file is one sequence"});
  check_read({plain, "--last-only", "--sequence-length", "0"}, 2, 1);
  const auto odd = folder.write(
      "c.safetensors", safetensors({stack("hidden_states", 3, 8)},
                                   {{"layout", "batch_first"}, {"sequence_length", "4.0"}, {"final_norm", "true"}}));
  check_refused({odd}, {"layout", "--layout"});
  check_read({odd, "--layout", "layer-major", "--sequence-length", "4", "--final-norm", "after", "--skip-first", "1"},
             2, 6);
  for (const auto* spelling : {"layer_major", "[layers][tokens][dim]", "Layer-Major"})
    check_read({folder.write("d.safetensors", safetensors({stack("hidden_states", 3, 8)}, {{"layout", spelling}}))}, 2,
               8);
  check_refused({folder.write("e.safetensors", safetensors({by_token("hidden_states", 5, 8),
                                                            integers("token_ids", {8}, {1, 2, 3, 4, 5, 6, 7, 8})},
                                                           {{"layout", "layer-major"}}))},
                {"the metadata says", "token_ids", "--layout"});

  // Folders of requests, each with its own companions; and a folder with dumps that are not read.
  for (const index r : {0, 1}) {
    std::filesystem::create_directory(folder / fmt::format("r{}", r));
    folder.write(fmt::format("r{}/hidden_states.npy", r), as_npy(stack("", 3, 8 + r)));
    folder.write(fmt::format("r{}/seq_lens.npy", r), npy("<i8", false, {2}, integers("", {}, {3, 5 + r}).bytes));
  }
  check_read({folder / "r0", folder / "r1", "--layout", "layer-major", "--skip-first", "1"}, 2, 13);
  const temporary_folder packed;
  for (const index l : {0, 1, 3}) packed.write(fmt::format("layer_{}.npy", l), as_npy(one_layer("", l)));
  packed.write("layer_2.npy.gz", std::as_bytes(std::span("\x1f\x8b\x08 and more")));
  check_refused({packed / ""}, {"gunzip layer_2.npy.gz"});
  std::filesystem::remove(packed / "layer_2.npy.gz");
  packed.write("mask.npy", npy("<i8", false, {4}, integers("", {}, bits("1101")).bytes));
  check_refused({packed / ""}, {"--mask"});
  CHECK(run({packed / "", "--mask", packed / "mask.npy"}).status == 0);  // what it says
}

// ---- types and formats

TEST_CASE("tensors of any type beside the states are stepped over") {
  const temporary_folder folder;
  for (const auto& [dtype, bytes] :
       {std::pair{"F4", 8}, {"F6_E2M3", 12}, {"F6_E3M2", 12}, {"F8_E4M3", 16}, {"F128_NEW", 5}, {"I16", 32}}) {
    CAPTURE(dtype);
    const auto path = folder.write(
        "a.safetensors", safetensors({stack("hidden_states", 2, 6),
                                      {"lm_head.weight", dtype, {2, 8}, buffer(static_cast<std::size_t>(bytes))}}));
    check_read({path}, 1, 6);
  }
  check_refused({folder.write("b.safetensors", safetensors({{"hidden_states", "F8_E5M2", {2, 6, 2}, buffer(24)}}))},
                {"F8_E5M2"});
  check_refused(
      {folder.write("c.safetensors", safetensors({stack("hidden_states", 2, 6), {"w", "F4", {2, 8}, buffer(16)}}))},
      {"8 bytes", "got 16"});
}

TEST_CASE(".npy as the world writes it") {
  const temporary_folder folder;
  const auto bf16 = stack("", 2, 6, data_type::bf16);
  for (const auto* descr : {"|V2", "<V2"}) {
    const auto path = folder.write("a.npy", npy(descr, false, bf16.shape, bf16.bytes));
    const auto document = check_read({path}, 1, 6, 1e-3);
    CHECK(document["dtype"] == "BF16");
    CHECK(contains(document["input"]["remarks"].dump(), "bfloat16"));
    CHECK(contains(run({path, "--format", "csv"}).errors, "taken for bfloat16"));
  }
  const auto f32 = stack("", 2, 6);
  check_read(
      {folder.write("b.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 6L, 2L), }", f32.bytes))}, 1,
      6);
  check_refused({folder.write("c.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (np.int64(2), 6, 2), }",
                                           f32.bytes))},
                {"integer"});
  auto twice = as_npy(f32);
  append(twice, twice.data(), twice.size());
  check_refused({folder.write("d.npy", twice)}, {"several arrays"});
  check_refused({folder.write("e.npy", npy(">f4", false, f32.shape, f32.bytes))}, {"big-endian", "np.save"});
}

TEST_CASE("files of other programs are named, with what makes them readable") {
  const temporary_folder folder;
  const auto write = [&](const std::string& name, const std::string& bytes) {
    return folder.write(name, std::as_bytes(std::span(bytes)));
  };
  check_refused({write("m.gguf", "GGUF" + std::string(60, '\3'))}, {"GGUF", "dump_hidden_states.py m.gguf"});
  check_refused({write("m.h5", "\x89HDF\r\n\x1a\n" + std::string(60, '\0'))}, {"HDF5", "h5py"});
  check_refused({write("a.safetensors.zst", "\x28\xb5\x2f\xfd" + std::string(60, '\0'))},
                {"zstd -d a.safetensors.zst"});
  check_refused({write("a.npy.gz", "\x1f\x8b" + std::string(60, '\0'))}, {"gunzip a.npy.gz"});
  check_refused({write("old.pt", "\x80\x02\x8a\x0a" + std::string(60, 'l'))}, {"pickle", "save_file"});
}

TEST_CASE(".npz archives of np.savez") {
  const temporary_folder folder;
  if (contains(run({folder.write("probe.npz", zip({{"a.npy", as_npy(stack("", 2, 6))}}))}).errors, "without libzip")) {
    MESSAGE("this build has no libzip");
    return;
  }
  check_read({folder / "probe.npz"}, 1, 6);
  std::vector<std::pair<std::string, buffer>> layers;
  for (const index l : {2, 0, 10, 1, 3, 4, 5, 6, 7, 8, 9})
    layers.emplace_back(fmt::format("arr_{}.npy", l), as_npy(one_layer("", l)));
  const auto document = check_read({folder.write("layers.npz", zip(layers))}, 10, 4);
  CHECK(document["input"]["tensors"][10] == "arr_10");

  // Beside a mask, and text that is stepped over.
  const auto mask = npy("<i8", false, {2, 4}, integers("", {}, padded_mask).bytes);
  const auto text = npy("<U5", false, {1}, buffer(20));
  const auto states = as_npy(padded(padded_mask, true));
  check_read({folder.write("masked.npz",
                           zip({{"hidden_states.npy", states}, {"attention_mask.npy", mask}, {"prompt.npy", text}}))},
             2, 6);

  check_refused({folder.write("c.npz", zip({{"a.npy", as_npy(stack("", 2, 6))}}, 8))},
                {"compressed", "np.savez(\"new.npz\", **np.load(\"c.npz\"))"});
  check_refused({folder.write("model.pt", zip({{"archive/data.pkl", buffer(10)}, {"archive/data/0", buffer(10)}}))},
                {"torch.save", "save_file"});
  check_refused({folder.write("none.npz", zip({}))}, {"got none"});
  check_refused({folder.write("text.npz", zip({{"prompt.npy", text}}))}, {"got none"});
  auto damaged = zip({{"a.npy", as_npy(stack("", 2, 6))}});
  damaged[130] ^= std::byte{1};
  check_refused({folder.write("damaged.npz", damaged)}, {"can't be read"});
}

// ---- what is said

TEST_CASE("--dry-run prints what would be read, and measures nothing") {
  const temporary_folder folder;
  const auto path = folder.write(
      "a.safetensors", safetensors({padded(padded_mask, true), integers("attention_mask", {2, 4}, padded_mask),
                                    states("rope", {8, 4}, [](const places&) { return 1.0; })},
                                   {{"layout", "layer-major"}, {"final_norm", "before"}}));
  const auto plan = run({path, "--dry-run"});
  CHECK(plan.status == 0);
  for (const auto* part :
       {"3 of 8 tokens x 2 dimensions, F32", "[layer][token][dim]: as the metadata says", "'hidden_states'",
        "'attention_mask'", "6 take part, 2 left out", "h_2 is before it", "'rope'", "a.safetensors", "GiB"}) {
    CAPTURE(part);
    CHECK(contains(plan.output, part));
  }
  // NaN in the data is not looked at.
  const auto nan = folder.write(
      "n.safetensors", safetensors({states("hidden_states", {3, 8, 2}, [](const places&) { return std::nan(""); })}));
  CHECK(run({nan, "--dry-run"}).status == 0);
  CHECK(run({nan}).status == 1);
  std::vector<entry> modules{one_layer("transformer.wte", 0), one_layer("transformer.h.0", 1),
                             one_layer("transformer.ln_f", 2)};
  const auto order = run({folder.write("m.safetensors", safetensors(modules)), "--dry-run"});
  CHECK(contains(order.output, "h_2  'transformer.ln_f'"));
}

// ---- memory

TEST_CASE("angles need no moments, and pairs may be taken in turn") {
  const temporary_folder folder;
  const auto path = folder.write("a.safetensors", safetensors({stack("hidden_states", 5, 40)}));
  const auto all = check_read({path}, 4, 40);
  const auto angles = check_read({path, "--no-linearity"}, 4, 40), turns = check_read({path, "--pairs-in-turn"}, 4, 40);
  for (std::size_t l = 0; l < 4; ++l) {
    CHECK(angles["layers"][l]["linearity"].is_null());
    auto without = all["layers"][l];
    without["linearity"] = without["residual_linearity"] = nullptr;
    CHECK(angles["layers"][l] == without);
    CHECK(turns["layers"][l] == all["layers"][l]);
  }
  CHECK(run({path, "--no-linearity"}).errors.empty());
  CHECK(run({path, "--no-linearity", "--format", "csv", "--output", folder / "a.csv"}).status == 0);

  // 81 states of 8192 dimensions: 80 GiB of moments.
  const auto wide = folder.write(
      "w.safetensors",
      safetensors({states(
          "hidden_states", {81, 16, 8192},
          [](const places& p) { return 1.0 + static_cast<double>(p[2] % 7 + p[0]) / 64; }, data_type::f16)}));
  check_refused({wide}, {"81 states of 8192 dimensions", "GiB", "--no-linearity"});
  const auto measured = run({wide, "--no-linearity", "--format", "json"});
  REQUIRE(measured.status == 0);
  CHECK(json::parse(measured.output)["layers"].size() == 80);
  CHECK(json::parse(measured.output)["layers"][79]["displacement"] > 0.0);
}

#if !defined(__SANITIZE_ADDRESS__)
TEST_CASE("the limit that counts is the process's own") {
  const temporary_folder folder;
  const auto path = folder.write(
      "a.safetensors",
      safetensors({states(
          "hidden_states", {33, 64, 2048},
          [](const places& p) { return 1.0 + static_cast<double>((p[2] * p[1]) % 7 + p[0]) / 64; }, data_type::f16)}));
  const auto limited = [&](const std::string& more) {
    const auto result =
        run_process({"sh", "-c", "ulimit -v 1500000; exec \"$0\" \"$1\" " + more, TESTED_PROGRAM, path});
    REQUIRE(result);
    return *result;
  };
  const auto refused = limited("");
  CAPTURE(refused.errors);
  CHECK(refused.status == 1);
  CHECK(contains(refused.errors, "of address space (ulimit -v); --pairs-in-turn needs"));
  CHECK(limited("--no-linearity").status == 0);
}
#endif

}  // namespace examples::test
