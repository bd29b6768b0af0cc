// What fused matrices are made of, and the heads of a layer's matrices.

#include "layerwise_weights/parts.hpp"

#include "examples/dump_files.hpp"

#include <doctest/doctest.h>

#include <string>

namespace examples::test {
namespace {

using namespace layerwise_weights;

/// A q, k, v or other matrix whose element tells its place.
weight numbered(const std::string& name, index rows, index cols, buffer& bytes) {
  bytes =
      encode(data_type::f64, {rows, cols}, [&](const auto& at) { return static_cast<double>(100 * at[0] + at[1]); });
  return {name, "model", "F64", format_named("F64"), rows, cols, bytes};
}

model_config heads_of(const std::string& architecture, index heads, index key_heads, index size) {
  return {architecture, {heads}, {key_heads}, size, size, 0, false};
}

}  // namespace

TEST_CASE("fused matrices are taken apart where the configuration tells how") {
  buffer bytes;
  const auto check = [](const matrix_part& part, role what, index rows, index heads, double first, double last) {
    CAPTURE(text_of(what));
    CHECK(part.what == what);
    CHECK(part.values.rows() == rows);
    CHECK(part.heads == heads);
    CHECK(part.values(0, 0) == first);
    CHECK(part.values(rows - 1, part.values.cols() - 1) == last);
    CHECK(part.remark.empty());
  };
  {  // phi3: 4 heads of 3, 2 of keys and values, in blocks of rows
    const auto parts = parts_of(numbered("model.layers.0.self_attn.qkv_proj.weight", 24, 12, bytes), {role::qkv, 0},
                                heads_of("phi3", 4, 2, 3));
    REQUIRE(parts.size() == 3);
    check(parts[0], role::q, 12, 4, 0, 1111);
    check(parts[1], role::k, 6, 2, 1200, 1711);
    check(parts[2], role::v, 6, 2, 1800, 2311);
  }
  {  // gpt2: inputs are rows
    const auto parts =
        parts_of(numbered("h.0.attn.c_attn.weight", 6, 18, bytes), {role::qkv, 0}, heads_of("gpt2", 2, 2, 3));
    REQUIRE(parts.size() == 3);
    check(parts[1], role::k, 6, 2, 6, 511);
    check(parts[2], role::v, 6, 2, 12, 517);
    const auto o = parts_of(numbered("h.0.attn.c_proj.weight", 6, 6, bytes), {role::o, 0}, heads_of("gpt2", 2, 2, 3));
    CHECK(o[0].values(0, 5) == 500);
    CHECK(o[0].heads == 2);
    CHECK_FALSE(o[0].heads_are_rows);
  }
  {  // gpt-neox: query, key and value of head after head
    const auto name = "gpt_neox.layers.0.attention.query_key_value.weight";
    const auto parts = parts_of(numbered(name, 18, 6, bytes), {role::qkv, 0}, heads_of("gpt_neox", 2, 2, 3));
    REQUIRE(parts.size() == 3);
    check(parts[0], role::q, 6, 2, 0, 1105);
    check(parts[1], role::k, 6, 2, 300, 1405);
    check(parts[2], role::v, 6, 2, 600, 1705);
    CHECK(parts[1].values(3, 0) == 1200);  // the second head's
    const auto unknown = parts_of(numbered(name, 18, 6, bytes), {role::qkv, 0}, heads_of("other", 2, 2, 3));
    REQUIRE(unknown.size() == 1);
    CHECK(unknown[0].what == role::qkv);
    CHECK(contains(unknown[0].remark, "the order of queries, keys and values is not known"));
  }
  {
    auto config = heads_of("phi3", 4, 2, 3);
    config.feed_forward = 5;
    const auto parts =
        parts_of(numbered("model.layers.0.mlp.gate_up_proj.weight", 10, 4, bytes), {role::gate_up, 0}, config);
    REQUIRE(parts.size() == 2);
    check(parts[0], role::gate, 5, 0, 0, 403);
    check(parts[1], role::up, 5, 0, 500, 903);
  }
}

TEST_CASE("without a configuration, or with one that does not fit, matrices stay whole, and it is said") {
  buffer bytes;
  const auto fused = parts_of(numbered("blk.0.attn_qkv.weight", 18, 6, bytes), {role::qkv, 0}, {});
  REQUIRE(fused.size() == 1);
  CHECK(fused[0].values.rows() == 18);
  CHECK(contains(fused[0].remark, "the number of heads is not known"));
  const auto other = parts_of(numbered("blk.0.attn_qkv.weight", 17, 6, bytes), {role::qkv, 0}, heads_of("a", 2, 2, 3));
  CHECK(other[0].remark == "fused: its 17 rows do not fit 2 heads of 3, and 2 of 3 for keys and of 3 for values");
  const auto q = parts_of(numbered("blk.0.attn_q.weight", 7, 6, bytes), {role::q, 0}, heads_of("a", 2, 2, 3));
  CHECK(q[0].heads == 0);
  CHECK(q[0].remark == "2 heads of 3 do not make up its 7");
  auto by_layer = heads_of("a", 2, 2, 3);
  by_layer.heads = {1, 2};
  CHECK(parts_of(numbered("blk.1.attn_q.weight", 6, 6, bytes), {role::q, 1}, by_layer)[0].heads == 2);
  CHECK(parts_of(numbered("blk.0.attn_q.weight", 3, 6, bytes), {role::q, 0}, by_layer)[0].heads == 1);
  for (const index layer : {2, -1})
    CHECK(parts_of(numbered("blk.2.attn_q.weight", 6, 6, bytes), {role::q, layer}, by_layer)[0].heads == 0);
  by_layer.key_size = 0;
  CHECK(parts_of(numbered("blk.0.attn_q.weight", 3, 6, bytes), {role::q, 0}, by_layer)[0].remark ==
        "the size of a head is not known");
}

TEST_CASE("heads of any number and size: what they do not fit is not cut by them") {
  buffer bytes;
  const auto neox = [&](index rows, model_config config) {
    return parts_of(numbered("gpt_neox.layers.0.attention.query_key_value.weight", rows, 2, bytes), {role::qkv, 0},
                    config);
  };
  auto unequal = heads_of("gpt_neox", 2, 2, 6);
  unequal.value_size = 1;  // 2 * 6 + 2 * 6 + 2 rows in all, but no query, key and value of one size
  REQUIRE(neox(26, unequal).size() == 1);
  CHECK(contains(neox(26, unequal)[0].remark, "26 rows do not fit 2 heads of 6"));
  for (const index large : {index{1} << 32, index{1} << 31, (index{1} << 32) - 1}) {
    CAPTURE(large);
    const auto huge = heads_of("phi3", large, large, large);
    CHECK(neox(6, heads_of("gpt_neox", large, large, large)).size() == 1);
    CHECK(parts_of(numbered("qkv_proj", 6, 2, bytes), {role::qkv, 0}, huge).size() == 1);
    const auto q = parts_of(numbered("q", 6, 2, bytes), {role::q, 0}, huge);
    CHECK(q[0].heads == 0);
    CHECK(q[0].remark == std::to_string(large) + " heads of " + std::to_string(large) + " do not make up its 6");
  }
  // 2^32 heads of 2^32 are 0 in 64 bits, beside 6 rows of values.
  auto wraps = heads_of("phi3", index{1} << 32, 1, index{1} << 32);
  wraps.value_size = 6;
  CHECK(parts_of(numbered("qkv_proj", 6, 2, bytes), {role::qkv, 0}, wraps).size() == 1);
}

}  // namespace examples::test
