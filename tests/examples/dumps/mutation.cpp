// Thousands of damaged files: each is either read or refused with an input_error, and what is read lies
// within the file. Deterministic; run under AddressSanitizer it also sees every byte read outside.

#include "dumps/batches.hpp"
#include "examples/dump_files.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <random>

namespace examples::test {
namespace {

/// A file in the parts that mean something: what comes before the header's length, the header, the data.
struct parts {
  bool is_npy;
  int major;  // of .npy
  std::string header;
  buffer data;

  buffer assemble() const { return is_npy ? npy(header, data, major) : safetensors(header, data); }
};

parts take_apart(const buffer& file) {
  const auto text = [&](std::size_t begin, std::size_t size) {
    return std::string(reinterpret_cast<const char*>(file.data()) + begin, size);
  };
  parts result{text(0, 6) == "\x93NUMPY", 0, {}, {}};
  std::uint64_t length = 0;
  std::size_t begin = 8;
  if (result.is_npy) {
    result.major = std::to_integer<int>(file[6]);
    begin = result.major == 1 ? 10 : 12;
    std::memcpy(&length, file.data() + 8, begin - 8);
  } else {
    std::memcpy(&length, file.data(), 8);
  }
  result.header = text(begin, length);
  result.data.assign(file.begin() + static_cast<std::ptrdiff_t>(begin + length), file.end());
  return result;
}

std::vector<buffer> valid_files() {
  const auto h = [](data_type type, index layer) { return matrix(type, layer, 6, 4, "h." + std::to_string(layer)); };
  return {
      safetensors({layer_major(data_type::f16, 3, 6, 4)}, {{"final_norm", "before"}, {"layout", "layer-major"}}),
      safetensors({token_major(data_type::f64, 3, 6, 4)}, {{"layout", "token-major"}, {"sequence_length", "3"}}),
      safetensors(
          {h(data_type::bf16, 0), h(data_type::bf16, 1), h(data_type::bf16, 2), {"ids", "I64", {6}, buffer(48)}}),
      safetensors({layer_major(data_type::f32, 3, 6, 4)}, {}, 8, 3),
      safetensors({layer_major(data_type::f32, 3, 6, 4),
                   {"attention_mask", "U8", {2, 3}, buffer(6, std::byte{1})},
                   {"input_ids", "I32", {2, 3}, buffer(24)},
                   {"seq_lens", "I64", {2}, buffer(16)},
                   {"lm_head.weight", "F4", {4, 4}, buffer(8)}}),
      safetensors({{"hidden_states", "F16", {3, 2, 3, 4}, buffer(144)}}),
      npy(layer_major(data_type::f32, 3, 6, 4), data_type::f32, 1),
      npy(layer_major(data_type::f64, 3, 6, 4), data_type::f64, 2),
      npy("<f2", true, {3, 6, 4}, buffer(144), 3),
  };
}

class mutator {
 public:
  explicit mutator(std::uint64_t seed) : random_(seed) {}

  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  template <class T>
  const T& one_of(const std::vector<T>& choices) {
    return choices[below(choices.size())];
  }

  /// Damages what the header says; the length before it stays true, so that the parsers get past it.
  void damage_header(parts& file, const parts& other) {
    auto& header = file.header;
    const auto at = below(header.size() + 1);
    const auto size = below(std::min<std::size_t>(header.size() - at + 1, 40));
    switch (below(9)) {
      case 0:
        replace_number(header);
        break;
      case 1:
        replace_number(header);
        break;
      case 2:
        replace_word(header);
        break;
      case 3:
        header.erase(at, size);
        break;
      case 4:
        header.insert(below(header.size() + 1), header.substr(at, size));
        break;
      case 5:
        header.insert(at, one_of(structure_));
        break;
      case 6:
        header.insert(at, std::string(below(2000), one_of(structure_).front()));
        break;
      case 7:
        header = header.substr(0, at) + other.header.substr(std::min(at, other.header.size()));
        break;
      default:
        if (at < header.size()) header[at] = static_cast<char>(random_());
    }
  }

  /// Damages the file itself.
  void damage_bytes(buffer& file) {
    switch (below(5)) {
      case 0:
        file.resize(below(file.size() + 1));
        break;
      case 1:
        file.resize(file.size() + below(64));
        break;
      case 2:
        if (!file.empty()) file[below(file.size())] ^= static_cast<std::byte>(1u << below(8));
        break;
      case 3:
        overwrite_length(file, 0);
        break;
      default:
        overwrite_length(file, 8);
        break;
    }
  }

 private:
  void overwrite_length(buffer& file, std::size_t at) {
    const std::uint64_t lengths[] = {0,
                                     1,
                                     2,
                                     file.size() - 8,
                                     file.size() - 7,
                                     file.size(),
                                     100'000'000,
                                     100'000'001,
                                     std::uint64_t{1} << 31,
                                     std::uint64_t{1} << 32,
                                     std::uint64_t{1} << 63,
                                     ~std::uint64_t{0},
                                     ~std::uint64_t{0} - 7,
                                     below(file.size() + 1)};
    const auto length = lengths[below(std::size(lengths))];
    if (file.size() >= at + 8) std::memcpy(file.data() + at, &length, below(2) == 0 ? 8 : 4);
  }

  void replace_number(std::string& header) {
    std::vector<std::size_t> begins;
    const auto digit = [&](std::size_t i) { return std::isdigit(static_cast<unsigned char>(header[i])) != 0; };
    for (std::size_t i = 0; i < header.size(); ++i)
      if (digit(i) && (i == 0 || !digit(i - 1))) begins.push_back(i);
    if (begins.empty()) return;
    const auto begin = one_of(begins);
    auto end = begin;
    while (end < header.size() && digit(end)) ++end;
    header.replace(begin, end - begin, one_of(numbers_));
  }

  void replace_word(std::string& header) {
    const auto& from = one_of(words_);
    const auto at = header.find(from);
    if (at != std::string::npos) header.replace(at, from.size(), one_of(words_));
  }

  std::mt19937_64 random_;
  const std::vector<std::string> numbers_{"0",
                                          "1",
                                          "2",
                                          "3",
                                          "4",
                                          "6",
                                          "7",
                                          "12",
                                          "24",
                                          "72",
                                          "-1",
                                          "-0",
                                          "1.0",
                                          "1e3",
                                          "1e999",
                                          "65536",
                                          "4294967295",
                                          "4294967296",
                                          "2147483648",
                                          "9223372036854775807",
                                          "9223372036854775808",
                                          "18446744073709551615",
                                          "18446744073709551616",
                                          "3074457345618258603",
                                          "99999999999999999999999999",
                                          "null",
                                          "\"1\"",
                                          "[1]",
                                          ""};
  const std::vector<std::string> words_{"F64",
                                        "F32",
                                        "F16",
                                        "BF16",
                                        "I64",
                                        "U8",
                                        "BOOL",
                                        "F12",
                                        "dtype",
                                        "shape",
                                        "data_offsets",
                                        "__metadata__",
                                        "hidden_states",
                                        "layer-major",
                                        "token-major",
                                        "before",
                                        "h.0",
                                        "h.1",
                                        "h.2",
                                        "ids",
                                        "<f8",
                                        "<f4",
                                        "<f2",
                                        ">f4",
                                        "descr",
                                        "fortran_order",
                                        "True",
                                        "False",
                                        "\\u0000",
                                        "\xff",
                                        "[",
                                        "]",
                                        "{",
                                        "}",
                                        "(",
                                        ")",
                                        "'",
                                        "\"",
                                        ","};
  const std::vector<std::string> structure_{"[",  "]", "{", "}",  "(", ")", ",",      ":",
                                            "\"", "'", " ", "\\", "0", "-", "{\"a\":"};
};

/// Reads every element there is; returns whether each lies in the file.
bool lies_within(const layer_stack& stack, std::span<const std::byte> file) {
  bool inside = true;
  double sum = 0;
  with_scalar(stack.dtype, [&](auto scalar) {
    using Scalar = decltype(scalar);
    for (const auto& shard : stack.shards) {
      for (const auto& state : shard.states)
        for (const index token : {index{0}, shard.tokens - 1})
          for (const index dim : {index{0}, stack.dimensions - 1}) {
            const auto offset = (token * state.token_stride + dim * state.dim_stride) * index{sizeof(Scalar)};
            const auto begin = state.data - file.data() + offset;
            inside = inside && begin >= 0 && begin + index{sizeof(Scalar)} <= std::ssize(file);
          }
      if (!inside) return;
      for (index first = 0; first < shard.tokens; first += 4) {
        const index count = std::min(index{4}, shard.tokens - first);
        const batch<Scalar> views(shard, stack.dimensions, first, count);
        for (const auto& view : views.states())
          for (index token = 0; token < count; ++token)
            for (index dim = 0; dim < stack.dimensions; ++dim) sum += static_cast<double>(view(token, dim));
      }
    }
  });
  volatile double keep = sum;  // the reads must happen
  static_cast<void>(keep);
  return inside;
}

}  // namespace

TEST_CASE("damaged files are read within their bounds or refused") {
  std::vector<parts> seeds;
  for (const auto& file : valid_files()) {
    seeds.push_back(take_apart(file));
    REQUIRE(seeds.back().assemble() == file);
  }

  constexpr std::uint64_t rounds = 20'000;
  std::size_t read = 0, refused = 0;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    CAPTURE(round);
    mutator change(round);
    auto file = change.one_of(seeds);
    for (auto times = change.below(4); times > 0; --times) change.damage_header(file, change.one_of(seeds));
    auto bytes = file.assemble();
    if (change.below(3) == 0) change.damage_bytes(bytes);
    const buffer exact(bytes.begin(), bytes.end());  // no spare capacity that could hide a read past the end

    for (const auto* layout : {"", "layer-major", "token-major"}) {
      try {
        stack_options options;
        options.layout = parse_axes(layout);
        const auto stack = stack_layers({parse_tensor_file("damaged", exact)}, options);
        REQUIRE(lies_within(stack, exact));
        ++read;
      } catch (const input_error& error) {
        const std::string message = error.what();
        REQUIRE(message.starts_with("damaged: "));
        REQUIRE_MESSAGE(message.size() < 1000, message);
        REQUIRE(std::none_of(message.begin(), message.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }));
        ++refused;
      }
    }
  }
  // Neither outcome is rare: the damage goes past the first check, and often enough is none.
  CHECK(read > rounds / 4);
  CHECK(refused > rounds / 4);
}

TEST_CASE("damaged archives are read or refused") {
  const auto array = npy(layer_major(data_type::f32, 3, 6, 4), data_type::f32);
  const auto archive =
      zip({{"hidden_states.npy", array}, {"attention_mask.npy", npy("|u1", false, {6}, buffer(6, std::byte{1}))}});
  std::size_t read = 0, refused = 0;
  for (std::uint64_t round = 0; round < 4000; ++round) {
    CAPTURE(round);
    mutator change(round);
    auto bytes = archive;
    for (auto times = change.below(3); times > 0; --times) change.damage_bytes(bytes);
    const buffer exact(bytes.begin(), bytes.end());
    try {
      const auto stack = stack_layers({parse_tensor_file("damaged", exact)});
      REQUIRE(stack.tokens > 0);
      ++read;
    } catch (const input_error& error) {
      const std::string message = error.what();
      REQUIRE(message.starts_with("damaged: "));
      REQUIRE_MESSAGE(message.size() < 1000, message);
      ++refused;
    }
  }
  CHECK(read + refused == 4000);
  CHECK(refused > 1000);
}

}  // namespace examples::test
