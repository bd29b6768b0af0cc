#include "dumps/npy.hpp"

#include "examples/dump_files.hpp"

#include <doctest/doctest.h>

namespace examples::test {
namespace {

std::string rejection(std::span<const std::byte> file) {
  return message_of([&] { parse_npy("dump.npy", file); });
}

std::string header_rejection(const std::string& header, std::size_t size = 0) {
  return rejection(npy(header, buffer(size)));
}

void check_rejected(const std::string& message, const std::vector<std::string>& parts) {
  CAPTURE(message);
  CHECK(message.starts_with("dump.npy: "));
  CHECK(message.find('\n') == std::string::npos);
  for (const auto& part : parts) {
    CAPTURE(part);
    CHECK(contains(message, part));
  }
}

const std::string valid = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4), }";

}  // namespace

TEST_CASE("all three format versions and three types are read") {
  for (const int major : {1, 2, 3})
    for (const auto type : {data_type::f64, data_type::f32, data_type::f16}) {
      const auto states = layer_major(type, 3, 5, 4);
      const auto file = npy(states, type, major);
      const auto parsed = parse_npy("dump.npy", file);
      REQUIRE(parsed.tensors.size() == 1);
      const auto& array = parsed.tensors.front();
      CHECK(array.dtype == type);
      CHECK(array.shape == states.shape);
      CHECK(array.strides() == std::vector<index>{20, 4, 1});
      CHECK(buffer(array.bytes.begin(), array.bytes.end()) == states.bytes);
    }
}

TEST_CASE("the axes of an array in Fortran order are reversed in memory") {
  const auto parsed = parse_npy("dump.npy", npy("<f4", true, {3, 5, 4}, buffer(240)));
  CHECK(parsed.tensors.front().strides() == std::vector<index>{1, 3, 15});
}

TEST_CASE("spellings of the header that Python's repr may give are read") {
  for (const auto* header : {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4), }",
                             "{\"shape\":(2,3,4),\"fortran_order\":False,\"descr\":\"<f4\"}      \n",
                             "{'descr':'<f4','fortran_order':False,'shape':(2,3,4,)}"}) {
    CAPTURE(header);
    CHECK(header_rejection(header, 96).empty());
  }
  // Python 2's longs, as NumPy on Windows wrote them.
  CHECK(header_rejection("{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L, 4L), }", 96).empty());
  CHECK(header_rejection("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 4).empty());
  CHECK(header_rejection("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 12).empty());
}

TEST_CASE("a truncated file is refused at every length, a longer one too") {
  const auto file = npy(layer_major(data_type::f32, 2, 3, 4), data_type::f32);
  REQUIRE(rejection(file).empty());
  for (std::size_t size = 0; size < file.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(rejection(std::span(file).first(size)).empty());
  }
  check_rejected(rejection(std::span(file).first(60)), {"header length", "truncated?"});
  check_rejected(rejection(std::span(file).first(file.size() - 1)), {"96 bytes", "2 x 3 x 4", "got 95", "truncated?"});
  auto longer = file;
  longer.push_back({});
  check_rejected(rejection(longer), {"96 bytes", "got 97", "too many"});
}

TEST_CASE("a wrong version or header length is refused") {
  auto file = npy(valid, buffer(96), 2);
  file[6] = std::byte{4};
  check_rejected(rejection(file), {"version", "1.0, 2.0 or 3.0", "4.0"});
  file[6] = std::byte{0};
  check_rejected(rejection(file), {"version", "0.0"});
  file[6] = std::byte{1};
  file[7] = std::byte{1};
  check_rejected(rejection(file), {"version", "1.1"});
  file = npy(valid, buffer(96), 2);
  const std::uint32_t hostile = 0xffffffff;
  std::memcpy(file.data() + 8, &hostile, 4);
  check_rejected(rejection(file), {"header length", "got 4294967295"});
}

TEST_CASE("types that are no little-endian floating point are refused by name") {
  for (const std::string descr : {">f4", "|V1", "|O", "<f16", "", "<c8"})
    check_rejected(rejection(npy(descr, false, {2, 3, 4}, buffer(96))),
                   {"descr", "'<f8', '<f4', '<f2' or bfloat16", "'" + descr + "'"});
  check_rejected(rejection(npy(">f4", false, {2, 3, 4}, buffer(96))), {"big-endian", "newbyteorder"});
  check_rejected(header_rejection("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8),
                 {"byte 20 of the file", "a string", "'['"});
}

TEST_CASE("a header that isn't the dictionary it should be is refused with the place") {
  check_rejected(header_rejection(""), {"expected '{'", "end of the header"});
  check_rejected(header_rejection("{"), {"a string", "end of the header"});
  check_rejected(header_rejection("{}"), {"keys descr, fortran_order and shape"});
  check_rejected(header_rejection("{'descr': '<f4', 'fortran_order': False}"), {"not all"});
  check_rejected(header_rejection("{'descr': '<f4', 'descr': '<f4'}"), {"once each", "'descr'"});
  check_rejected(header_rejection("{'other': 1}"), {"once each", "'other'"});
  check_rejected(header_rejection("{'descr': '<f4"), {"closing quote"});
  check_rejected(header_rejection("{'fortran_order': 0}"), {"True or False", "'0'"});
  check_rejected(header_rejection("{'shape': [2]}"), {"expected '('", "'['"});
  check_rejected(header_rejection("{'shape': (-2,)}"), {"integer from 0"});
  check_rejected(header_rejection("{'shape': (2.0,)}"), {"expected ')'", "'.'"});
  check_rejected(header_rejection("{'shape': (9223372036854775808,)}"), {"2^63 - 1"});
  check_rejected(header_rejection(valid + "import os", 96), {"end of the header", "'i'"});
  check_rejected(header_rejection(std::string(60'000, '(')), {"expected '{'"});
}

TEST_CASE("a shape whose size overflows is refused, not wrapped round") {
  check_rejected(rejection(npy("<f4", false, {index{1} << 32, index{1} << 32}, {})), {"2^63"});
  check_rejected(rejection(npy("<f8", false, {index{1} << 60}, {})), {"2^63"});
  check_rejected(rejection(npy("<f8", false, {0, index{1} << 62, 8}, {})), {"2^63"});
}

}  // namespace examples::test
