#include "dumps/layer_stack.hpp"

#include "dumps/layer_names.hpp"

#include "dumps/batches.hpp"
#include "examples/dump_files.hpp"

#include <doctest/doctest.h>

namespace examples::test {
namespace {

/// Files in memory, parsed, with the bytes kept for as long as the views are looked at.
struct parsed_files {
  std::vector<buffer> contents;
  std::vector<tensor_file> files;

  explicit parsed_files(std::vector<buffer> bytes) : contents(std::move(bytes)) {
    for (std::size_t i = 0; i < contents.size(); ++i)
      files.push_back(parse_tensor_file("file" + std::to_string(i), contents[i]));
  }
};

/// The stack has that shape, and every element, read through batches of `batch_tokens`, is the one written.
void check_elements(const layer_stack& stack, index states, index tokens, index dims, index batch_tokens = 4) {
  REQUIRE(stack.states == states);
  REQUIRE(stack.tokens == tokens);
  REQUIRE(stack.dimensions == dims);
  index wrong = 0, read = 0;
  with_scalar(stack.dtype, [&](auto scalar) {
    using Scalar = decltype(scalar);
    index shard_begin = 0;
    for (const auto& shard : stack.shards) {
      for (index first = 0; first < shard.tokens; first += batch_tokens) {
        const index count = std::min(batch_tokens, shard.tokens - first);
        const batch<Scalar> views(shard, dims, first, count);
        REQUIRE(std::ssize(views.states()) == states);
        for (index layer = 0; layer < states; ++layer) {
          const auto& view = views.states()[static_cast<std::size_t>(layer)];
          REQUIRE(view.rows() == count);
          REQUIRE(view.cols() == dims);
          for (index token = 0; token < count; ++token)
            for (index dim = 0; dim < dims; ++dim, ++read)
              wrong += static_cast<double>(view(token, dim)) != value(layer, shard_begin + first + token, dim);
        }
      }
      shard_begin += shard.tokens;
    }
  });
  CHECK(wrong == 0);
  CHECK(read == states * tokens * dims);
}

std::string rejection(std::vector<buffer> contents, const stack_options& options = {}) {
  const parsed_files parsed(std::move(contents));
  return message_of([&] { stack_layers(parsed.files, options); });
}

stack_options axes(const char* layout) {
  stack_options options;
  options.layout = parse_axes(layout);
  return options;
}

stack_options named(const char* tensor) {
  stack_options options;
  options.tensor = tensor;
  return options;
}

constexpr auto all_types = {data_type::f64, data_type::f32, data_type::f16, data_type::bf16};

}  // namespace

TEST_CASE("a rank-3 tensor is read in both layouts and all types") {
  for (const auto type : all_types) {
    CAPTURE(type_name(type));
    const parsed_files layers({safetensors({layer_major(type, 3, 10, 5)})});
    const auto stack = stack_layers(layers.files);
    CHECK(stack.dtype == type);
    CHECK(stack.reading.assumed);
    CHECK(stack.layers() == 2);
    check_elements(stack, 3, 10, 5);

    const parsed_files tokens({safetensors({token_major(type, 3, 10, 5)})});
    check_elements(stack_layers(tokens.files, axes("token-major")), 3, 10, 5);
  }
}

TEST_CASE("the metadata's layout holds unless the caller names one") {
  for (const auto* layout : {"token-major", "[token][layer][dim]"}) {
    const parsed_files parsed({safetensors({token_major(data_type::f32, 3, 10, 5)}, {{"layout", layout}})});
    const auto stack = stack_layers(parsed.files);
    CHECK_FALSE(stack.reading.assumed);
    check_elements(stack, 3, 10, 5);
    CHECK(stack_layers(parsed.files, axes("layer-major")).states == 10);
  }
  const parsed_files parsed(
      {safetensors({layer_major(data_type::f32, 3, 10, 5)}, {{"layout", "[layer][token][dim]"}})});
  check_elements(stack_layers(parsed.files), 3, 10, 5);
}

TEST_CASE("elements that aren't aligned are read all the same") {
  for (const auto type : all_types)
    for (const std::size_t offset : {1u, 2u, 3u, 5u, 7u}) {
      // The vector's own memory is aligned to 16, so this is the offset of the data.
      const parsed_files parsed({safetensors({layer_major(type, 3, 10, 5)}, {}, 8, offset)});
      check_elements(stack_layers(parsed.files), 3, 10, 5);
      const parsed_files strided({safetensors({token_major(type, 3, 10, 5)}, {{"layout", "token-major"}}, 8, offset)});
      check_elements(stack_layers(strided.files), 3, 10, 5);
    }
}

TEST_CASE("one matrix a layer is ordered by number, not by letter") {
  std::vector<entry> entries;
  for (const index layer : {10, 2, 0, 11, 1, 9, 8, 7, 6, 5, 4, 3})
    entries.push_back(matrix(data_type::bf16, layer, 6, 4, "h." + std::to_string(layer)));
  const parsed_files one({safetensors(entries)});
  const auto stack = stack_layers(one.files);
  CHECK_FALSE(stack.reading.assumed);
  check_elements(stack, 12, 6, 4);

  // The same layers spread over files: names in common nowhere.
  const parsed_files three({safetensors({entries[0], entries[1], entries[2]}),
                            safetensors({entries.begin() + 3, entries.begin() + 5}),
                            safetensors({entries.begin() + 5, entries.end()})});
  check_elements(stack_layers(three.files), 12, 6, 4);
}

TEST_CASE("names are compared with numbers as numbers") {
  CHECK(natural_less("h.2", "h.10"));
  CHECK_FALSE(natural_less("h.10", "h.2"));
  CHECK(natural_less("h", "h.0"));
  CHECK(natural_less("embedding", "layer.0"));
  CHECK(natural_less("h.1.w10", "h.2.w9"));
  CHECK(natural_less("h.99999999999999999999998", "h.99999999999999999999999"));
  CHECK(natural_less("h.01", "h.1") != natural_less("h.1", "h.01"));
  CHECK_FALSE(natural_less("h.1", "h.1"));
}

TEST_CASE("files with the same names are shards of tokens, in the order given") {
  const parsed_files stacks({safetensors({layer_major(data_type::f16, 3, 4, 5)}),
                             safetensors({layer_major(data_type::f16, 3, 9, 5, 4)}),
                             safetensors({layer_major(data_type::f16, 3, 1, 5, 13)})});
  check_elements(stack_layers(stacks.files), 3, 14, 5);

  const auto part = [](index first, index tokens) {
    return safetensors(
        {matrix(data_type::f32, 0, tokens, 5, "h0", first), matrix(data_type::f32, 1, tokens, 5, "h1", first)});
  };
  const parsed_files matrices({part(0, 7), part(7, 6)});
  check_elements(stack_layers(matrices.files), 2, 13, 5);
}

TEST_CASE(".npy files are stacks, shards of tokens, or one layer each in the order given") {
  const auto type = data_type::f32;
  const parsed_files one({npy(layer_major(type, 3, 10, 5), type)});
  check_elements(stack_layers(one.files), 3, 10, 5);

  const parsed_files shards({npy(layer_major(type, 3, 4, 5), type), npy(layer_major(type, 3, 6, 5, 4), type)});
  check_elements(stack_layers(shards.files), 3, 10, 5);

  const parsed_files layers({npy(matrix(type, 0, 8, 5, ""), type), npy(matrix(type, 1, 8, 5, ""), type),
                             npy(matrix(type, 2, 8, 5, ""), type)});
  check_elements(stack_layers(layers.files), 3, 8, 5);
}

TEST_CASE("Fortran order is read as it lies") {
  const auto reversed = encode(data_type::f64, {5, 10, 3}, [](auto& at) { return value(at[2], at[1], at[0]); });
  const parsed_files stack({npy("<f8", true, {3, 10, 5}, reversed)});
  check_elements(stack_layers(stack.files), 3, 10, 5);

  std::vector<buffer> matrices;
  for (index layer = 0; layer < 2; ++layer)
    matrices.push_back(npy("<f4", true, {10, 5},
                           encode(data_type::f32, {5, 10}, [&](auto& at) { return value(layer, at[1], at[0]); })));
  const parsed_files layers(std::move(matrices));
  check_elements(stack_layers(layers.files), 2, 10, 5);
}

TEST_CASE("--tensor chooses among several, by name or prefix") {
  const parsed_files parsed({safetensors({layer_major(data_type::f32, 3, 10, 5, 0, "a"),
                                          layer_major(data_type::f16, 3, 6, 2, 0, "b"),
                                          matrix(data_type::f32, 0, 6, 2, "m.0"),
                                          matrix(data_type::f32, 1, 6, 2, "m.1"),
                                          {"counts", "I64", {10, 1}, buffer(80)}})});
  const auto message = message_of([&] { stack_layers(parsed.files); });
  CHECK(contains(message, "'a' (3 x 10 x 5 F32)"));
  CHECK(contains(message, "'b' (3 x 6 x 2 F16)"));
  CHECK(contains(message, "--tensor"));
  check_elements(stack_layers(parsed.files, named("a")), 3, 10, 5);
  check_elements(stack_layers(parsed.files, named("b")), 3, 6, 2);
  check_elements(stack_layers(parsed.files, named("m.")), 2, 6, 2);
  const auto none = message_of([&] { stack_layers(parsed.files, named("c")); });
  CHECK(contains(none, "named 'c'"));
}

TEST_CASE("metadata labels the stack, and a value without meaning is refused") {
  const auto file = [](const std::map<std::string, std::string>& metadata) {
    return safetensors({layer_major(data_type::f32, 3, 10, 5)}, metadata);
  };
  const parsed_files parsed({file({{"final_norm", "after"}, {"sequence_length", "512"}})});
  CHECK(stack_layers(parsed.files).final_norm == "after");
  CHECK(stack_layers(parsed.files).sequence_length == 512);
  const parsed_files plain({file({})});
  CHECK_FALSE(stack_layers(plain.files).final_norm);
  CHECK_FALSE(stack_layers(plain.files).sequence_length);

  CHECK(contains(rejection({file({{"final_norm", "perhaps"}})}),
                 "file0: __metadata__: final_norm: expected before or after (or say --final-norm), got 'perhaps'"));
  CHECK(contains(rejection({file({{"layout", "any"}})}),
                 "layer-major or token-major, or axes as in [layer][batch][token][dim] (or say --layout), got 'any'"));
  for (const auto* length : {"0", "-1", "1.5", "12x", "", "99999999999999999999"})
    CHECK(contains(rejection({file({{"sequence_length", length}})}), "a positive integer"));
  CHECK(contains(rejection({file({{"final_norm", "after"}}), file({{"final_norm", "before"}})}),
                 "file1: __metadata__: final_norm: expected 'after' as in file0, got 'before'"));
}

TEST_CASE("files that don't fit together are refused with both sides named") {
  const auto f32 = data_type::f32;
  const auto stack = [&](index layers, index tokens, index dims) {
    return safetensors({layer_major(f32, layers, tokens, dims)}, {{"layout", "layer-major"}});
  };
  CHECK(contains(rejection({stack(3, 4, 5), stack(4, 4, 5)}),
                 "file1: expected the states, dimensions and type as file0 has, got 4 states"));
  CHECK(contains(rejection({stack(3, 4, 5), stack(3, 4, 6)}), "4 tokens x 6 dimensions"));
  CHECK(contains(rejection({stack(3, 4, 5), safetensors({layer_major(data_type::f16, 3, 4, 5)})}), "F16"));
  CHECK(contains(rejection({stack(3, 4, 5), npy(layer_major(f32, 3, 4, 5), f32)}),
                 "file1: expected the file format of file0"));
  CHECK(contains(rejection({stack(3, 4, 5), safetensors({layer_major(f32, 3, 4, 5, 0, "other")})}),
                 "expected the tensor 'hidden_states' as in file0, got 'other'"));
  CHECK(contains(rejection({stack(3, 4, 5), safetensors({matrix(f32, 0, 4, 5, "m")})}),
                 "file1: expected 'hidden_states' (3 x 4 x 5 F32) as in file0, got 'm' (4 x 5 F32)"));

  const auto m = [&](const std::string& name, index tokens = 4) { return matrix(f32, 0, tokens, 5, name); };
  CHECK(contains(rejection({safetensors({m("a"), m("b")}), safetensors({m("b"), m("c")})}),
                 "file1: expected the tensor names of file0"));
  CHECK(contains(rejection({safetensors({m("a")}), safetensors({m("b", 5)})}),
                 "file1: expected the tokens, dimensions and type as file0 has"));
  CHECK(contains(rejection({safetensors({m("a"), m("b", 5)})}), "one shape and type"));
}

TEST_CASE("dumps with nothing to profile are refused") {
  const auto f32 = data_type::f32;
  CHECK(contains(rejection({safetensors("{}", {})}), "got none"));
  CHECK(contains(rejection({safetensors({{"ids", "I64", {2, 2, 2}, buffer(64)}})}), "'ids' (2 x 2 x 2 I64)"));
  CHECK(contains(rejection({safetensors({{"a", "F32", {2, 2, 2, 2, 2}, buffer(128)}})}), "2 x 2 x 2 x 2 x 2"));
  CHECK(contains(rejection({safetensors({{"a", "F32", {3, 0, 5}, {}}})}), "no dimension to be 0"));
  CHECK(
      contains(rejection({safetensors({{"a", "F32", {0, 5}, {}}, {"b", "F32", {0, 5}, {}}})}), "no dimension to be 0"));
  CHECK(contains(rejection({safetensors({layer_major(f32, 1, 4, 5)})}),
                 "expected the states of all layers, got those of one"));
  CHECK(contains(rejection({safetensors({layer_major(f32, 1, 4, 5)})}, axes("layer-major")), "at least two layers"));
  CHECK(contains(rejection({npy(matrix(f32, 0, 4, 5, ""), f32)}), "at least two layers"));
  CHECK(contains(rejection({safetensors({layer_major(f32, 5000, 2, 1)})}, axes("layer-major")),
                 "at most 4096 layers, got 5000"));
  CHECK(
      contains(rejection({safetensors({layer_major(f32, 5000, 2, 1)})}, axes("layer-major")), "--layout token-major?"));
  CHECK(contains(rejection({}), "at least one file"));
}

}  // namespace examples::test
