#include "dumps/safetensors.hpp"

#include "examples/dump_files.hpp"

#include <doctest/doctest.h>

namespace examples::test {
namespace {

std::string rejection(std::span<const std::byte> file) {
  return message_of([&] { parse_safetensors("dump.safetensors", file); });
}

/// What is said about a header, with `size` bytes after it.
std::string header_rejection(const std::string& header, std::size_t size = 0) {
  return rejection(safetensors(header, buffer(size)));
}

std::string tensor_json(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

/// The message is one line and has each of the parts: the file, what was expected, what came.
void check_rejected(const std::string& message, const std::vector<std::string>& parts) {
  CAPTURE(message);
  CHECK(message.starts_with("dump.safetensors: "));
  CHECK(message.find('\n') == std::string::npos);
  for (const auto& part : parts) {
    CAPTURE(part);
    CHECK(contains(message, part));
  }
}

}  // namespace

TEST_CASE("every tensor comes with its type, shape and bytes") {
  const auto file = safetensors({layer_major(data_type::f16, 3, 5, 4),
                                 {"ids", "I64", {5}, buffer(40)},
                                 {"nothing", "F32", {0, 7}, {}},
                                 {"one", "U8", {}, buffer(1)}},
                                {{"final_norm", "before"}, {"model", "m"}});
  const auto parsed = parse_safetensors("dump.safetensors", file);

  CHECK(parsed.metadata == std::map<std::string, std::string>{{"final_norm", "before"}, {"model", "m"}});
  REQUIRE(parsed.tensors.size() == 4);  // in the order of their names
  const auto& states = parsed.tensors[0];
  CHECK(states.name == "hidden_states");
  CHECK(states.dtype == data_type::f16);
  CHECK(states.shape == std::vector<index>{3, 5, 4});
  CHECK(states.strides() == std::vector<index>{20, 4, 1});
  CHECK(states.bytes.data() + 120 + 41 == file.data() + file.size());
  CHECK(parsed.tensors[1].name == "ids");
  CHECK(parsed.tensors[1].dtype == data_type::i64);
  CHECK(parsed.tensors[2].bytes.empty());
  CHECK(parsed.tensors[3].shape.empty());
  CHECK(parsed.tensors[3].bytes.size() == 1);
}

TEST_CASE("a header may be padded with spaces, and hold no tensor") {
  CHECK(parse_safetensors("dump.safetensors", safetensors("{}      ", {})).tensors.empty());
}

TEST_CASE("a truncated file is refused at every length") {
  const auto file = safetensors({layer_major(data_type::f32, 2, 3, 2)}, {{"a", "b"}});
  REQUIRE(rejection(file).empty());
  for (std::size_t size = 0; size < file.size(); ++size) {
    const buffer part(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    CAPTURE(size);
    CHECK_FALSE(rejection(part).empty());
  }
  check_rejected(rejection(std::span(file).first(7)), {"only 7 bytes"});
  check_rejected(rejection(std::span(file).first(20)), {"header length", "at most 12", "truncated?"});
  check_rejected(rejection(std::span(file).first(file.size() - 1)),
                 {"'hidden_states'", "47 bytes", "got 48", "truncated?"});
}

TEST_CASE("a header length beyond the file or the format's limit is refused") {
  auto file = safetensors("{}", {});
  for (const auto& [length, part] :
       std::vector<std::pair<std::uint64_t, std::string>>{{3, "at most 2"},
                                                          {99'999'999, "at most 2"},
                                                          {100'000'001, "at most 100000000"},
                                                          {std::uint64_t{1} << 63, "at most 100000000"},
                                                          {~std::uint64_t{0}, "got 18446744073709551615"}}) {
    std::memcpy(file.data(), &length, 8);
    check_rejected(rejection(file), {"header length", part});
  }
}

TEST_CASE("a header that isn't the JSON it should be is refused") {
  check_rejected(header_rejection(""), {"expected JSON", "error at byte 8"});
  check_rejected(header_rejection("{"), {"expected JSON"});
  check_rejected(header_rejection("{\"a\": nul}"), {"expected JSON", "error at byte 17"});
  check_rejected(header_rejection("{} x"), {"expected JSON"});
  check_rejected(header_rejection("[]"), {"expected a JSON object", "array"});
  check_rejected(header_rejection("7"), {"expected a JSON object", "number"});
  check_rejected(header_rejection("{\"\xff\": 1}"), {"expected JSON in UTF-8", "byte 10"});
  check_rejected(header_rejection("{\"a\": 1e999}"), {"64 bits"});
  check_rejected(header_rejection("{\"a\": 1}"), {"'a'", "dtype"});
  check_rejected(header_rejection("{\"__metadata__\": []}"), {"__metadata__", "an object", "array"});
  check_rejected(header_rejection("{\"__metadata__\": {\"n\": 1}}"), {"__metadata__: 'n'", "string", "number"});
}

TEST_CASE("nesting is bounded, however deep the header goes") {
  check_rejected(header_rejection(R"({"a":{"shape":[[1]]}})"), {"nested"});
  for (const std::size_t depth : {10u, 1'000'000u}) {
    check_rejected(header_rejection(std::string(depth, '[')), {"nested"});
    std::string objects;
    for (std::size_t i = 0; i < depth; ++i) objects += "{\"a\":";
    check_rejected(header_rejection(objects), {"nested"});
  }
}

TEST_CASE("a name that comes twice is refused") {
  const std::string a = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  check_rejected(header_rejection("{" + a + "," + a + "}", 1), {"once", "'a' twice"});
  check_rejected(header_rejection(R"({"a":{"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,1]}})", 1),
                 {"'dtype' twice"});
  check_rejected(header_rejection(R"({"__metadata__":{"k":"1","k":"2"}})"), {"'k' twice"});
  // The same key in two objects is no repetition.
  CHECK(header_rejection("{" + a + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2).empty());
}

TEST_CASE("an entry with a wrong or missing member is refused") {
  check_rejected(header_rejection(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1), {"'a'", "no dtype"});
  check_rejected(header_rejection(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1), {"'a'", "no shape"});
  check_rejected(header_rejection(R"({"a":{"dtype":"U8","shape":[1]}})", 1), {"'a'", "no data_offsets"});
  // A type of the future is stepped over; its size is not known.
  CHECK(header_rejection(tensor_json("F12", "[1]", "[0,4]"), 4).empty());
  check_rejected(header_rejection(tensor_json("F4", "[2]", "[0,4]"), 4), {"1 bytes for 2 elements of F4", "got 4"});
  check_rejected(header_rejection(R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}})", 4), {"dtype", "number"});
  check_rejected(header_rejection(tensor_json("F32", "4", "[0,4]"), 4), {"shape", "list", "number"});
  check_rejected(header_rejection(tensor_json("F32", "[-1]", "[0,4]"), 4), {"shape", "from 0", "-1"});
  check_rejected(header_rejection(tensor_json("F32", "[1.0]", "[0,4]"), 4), {"shape", "integers", "1.0"});
  check_rejected(header_rejection(tensor_json("F32", "[\"1\"]", "[0,4]"), 4), {"shape", "integers", "string"});
  check_rejected(header_rejection(tensor_json("F32", "[1]", "[0]"), 4), {"data_offsets", "[begin, end]", "1 number"});
  check_rejected(header_rejection(tensor_json("F32", "[1]", "[4,0]"), 4), {"begin <= end", "[4, 0]"});
  check_rejected(header_rejection(tensor_json("F32", "[1]", "[-4,0]"), 4), {"data_offsets", "-4"});
}

TEST_CASE("sizes that overflow are refused, not wrapped round") {
  // 2^32 * 2^32 = 2^64 = 0 in 64 bits, and would match an empty range.
  check_rejected(header_rejection(tensor_json("U8", "[4294967296,4294967296]", "[0,0]")), {"2^63", "4294967296 x"});
  check_rejected(header_rejection(tensor_json("F64", "[2305843009213693952]", "[0,0]")), {"2^63"});
  check_rejected(header_rejection(tensor_json("F32", "[0,9223372036854775807,3]", "[0,0]")), {"2^63"});
  check_rejected(header_rejection(tensor_json("U8", "[9223372036854775808]", "[0,0]")), {"shape"});
  check_rejected(header_rejection(tensor_json("U8", "[99999999999999999999999]", "[0,0]")), {"shape"});
  check_rejected(header_rejection(tensor_json("U8", "[1]", "[18446744073709551615,0]")), {"data_offsets"});
}

TEST_CASE("the tensors cover the bytes after the header exactly") {
  const auto two = [](const std::string& a, const std::string& b) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + a +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}";
  };
  CHECK(header_rejection(two("[0,4]", "[4,8]"), 8).empty());
  CHECK(header_rejection(two("[4,8]", "[0,4]"), 8).empty());
  check_rejected(header_rejection(two("[0,4]", "[2,6]"), 6), {"'b'", "begin at 4", "got 2", "overlap"});
  check_rejected(header_rejection(two("[0,4]", "[0,4]"), 4), {"overlap"});
  check_rejected(header_rejection(two("[0,4]", "[5,9]"), 9), {"'b'", "begin at 4", "got 5", "in between"});
  check_rejected(header_rejection(two("[1,5]", "[5,9]"), 9), {"'a'", "begin at 0", "got 1"});
  check_rejected(header_rejection(two("[0,4]", "[4,8]"), 9), {"8 bytes", "got 9"});
  check_rejected(header_rejection(two("[0,4]", "[4,8]"), 7), {"'b'", "7 bytes", "got 8"});
  check_rejected(header_rejection(two("[0,3]", "[3,7]"), 7), {"'a'", "expected 4 bytes for 4 elements of U8", "got 3"});
}

TEST_CASE("a name can't write to the terminal or fill it") {
  const auto message = header_rejection("{\"\\u001b[2J\\n\\u009b\": 1}");
  check_rejected(message, {"\\x1b[2J\\x0a\\xc2"});
  CHECK(message.find('\x1b') == std::string::npos);
  CHECK(header_rejection("{\"" + std::string(100'000, 'x') + "\": 1}").size() < 300);
}

}  // namespace examples::test
