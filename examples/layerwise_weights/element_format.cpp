#include "element_format.hpp"

#include <Eigen/Core>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

// The blocks are those of ggml (ggml-common.h, ggml-quants.c), all little endian. Scales are float16 and quants small
// integers, so that every product here is exact in double.
namespace examples::layerwise_weights {
namespace {

using byte = std::uint8_t;

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

double half_at(const std::byte* from) { return static_cast<double>(load<Eigen::half>(from)); }
int low(byte b) { return b & 15; }
int high(byte b) { return b >> 4; }
int bit(std::uint32_t bits, int which) { return static_cast<int>(bits >> which & 1u); }

template <class T>
void one_by_one(const std::byte* from, std::size_t count, double* to) {
  for (std::size_t i = 0; i < count; ++i) to[i] = static_cast<double>(load<T>(from + i * sizeof(T)));
}

/// Makes of what decodes one block what decodes many.
template <std::size_t elements, std::size_t bytes, void (*one)(const std::byte*, double*)>
void each_block(const std::byte* from, std::size_t blocks, double* to) {
  for (std::size_t i = 0; i < blocks; ++i) one(from + i * bytes, to + i * elements);
}

/// Half of the elements in the low four bits, then the other half in the high ones.
template <class Value>
void nibbles(const std::byte* quants, const Value& value, double* to) {
  for (int j = 0; j < 16; ++j) {
    const auto two = load<byte>(quants + j);
    to[j] = value(low(two), j);
    to[j + 16] = value(high(two), j + 16);
  }
}

void q4_0(const std::byte* b, double* to) {
  nibbles(b + 2, [d = half_at(b)](int q, int) { return d * (q - 8); }, to);
}
void q4_1(const std::byte* b, double* to) {
  nibbles(b + 4, [d = half_at(b), m = half_at(b + 2)](int q, int) { return d * q + m; }, to);
}
void q5_0(const std::byte* b, double* to) {
  const auto fifth = load<std::uint32_t>(b + 2);
  nibbles(b + 6, [&, d = half_at(b)](int q, int j) { return d * (q + 16 * bit(fifth, j) - 16); }, to);
}
void q5_1(const std::byte* b, double* to) {
  const auto fifth = load<std::uint32_t>(b + 4);
  nibbles(
      b + 8, [&, d = half_at(b), m = half_at(b + 2)](int q, int j) { return d * (q + 16 * bit(fifth, j)) + m; }, to);
}
void q8_0(const std::byte* b, double* to) {
  const double d = half_at(b);
  for (int j = 0; j < 32; ++j) to[j] = d * load<std::int8_t>(b + 2 + j);
}

/// Scale and minimum of one of the eight parts of a super-block: six bits each, in twelve bytes.
struct part_scale {
  int scale, minimum;

  part_scale(const std::byte* packed, int part) {
    const auto at = [&](int i) { return static_cast<int>(load<byte>(packed + i)); };
    if (part < 4) {
      scale = at(part) & 63, minimum = at(part + 4) & 63;
    } else {
      scale = (at(part + 4) & 15) | (at(part - 4) >> 6 << 4);
      minimum = (at(part + 4) >> 4) | (at(part) >> 6 << 4);
    }
  }
};

/// 256 elements in eight parts of 32; two parts share the bytes of their quants, and with `fifth` the bits above them.
void four_or_five_bits(const std::byte* b, const std::byte* fifth, const std::byte* quants, double* to) {
  const double d = half_at(b), d_min = half_at(b + 2);
  for (int part = 0; part < 8; ++part) {
    const part_scale s(b + 4, part);
    for (int j = 0; j < 32; ++j) {
      const auto two = load<byte>(quants + part / 2 * 32 + j);
      const int above = fifth == nullptr ? 0 : 16 * bit(load<byte>(fifth + j), part);
      to[32 * part + j] = d * s.scale * ((part % 2 == 0 ? low(two) : high(two)) + above) - d_min * s.minimum;
    }
  }
}
void q4_k(const std::byte* b, double* to) { four_or_five_bits(b, nullptr, b + 16, to); }
void q5_k(const std::byte* b, double* to) { four_or_five_bits(b, b + 16, b + 48, to); }

/// 256 elements: four bits in 128 bytes, two in 64, sixteen scales of eight bits, and their scale at the end.
void q6_k(const std::byte* b, double* to) {
  const double d = half_at(b + 208);
  for (int half = 0; half < 2; ++half)
    for (int part = 0; part < 4; ++part)
      for (int j = 0; j < 32; ++j) {
        const auto two = load<byte>(b + 64 * half + 32 * (part % 2) + j);
        const int upper = load<byte>(b + 128 + 32 * half + j) >> (2 * part) & 3;
        const int scale = load<std::int8_t>(b + 192 + 8 * half + 2 * part + j / 16);
        to[128 * half + 32 * part + j] = d * scale * (((part < 2 ? low(two) : high(two)) | upper << 4) - 32);
      }
}

constexpr std::array formats{
    element_format{"F64", 28, 1, 8, one_by_one<double>},
    element_format{"F32", 0, 1, 4, one_by_one<float>},
    element_format{"F16", 1, 1, 2, one_by_one<Eigen::half>},
    element_format{"BF16", 30, 1, 2, one_by_one<Eigen::bfloat16>},
    element_format{"Q4_0", 2, 32, 18, each_block<32, 18, q4_0>},
    element_format{"Q4_1", 3, 32, 20, each_block<32, 20, q4_1>},
    element_format{"Q5_0", 6, 32, 22, each_block<32, 22, q5_0>},
    element_format{"Q5_1", 7, 32, 24, each_block<32, 24, q5_1>},
    element_format{"Q8_0", 8, 32, 34, each_block<32, 34, q8_0>},
    element_format{"Q4_K", 12, 256, 144, each_block<256, 144, q4_k>},
    element_format{"Q5_K", 13, 256, 176, each_block<256, 176, q5_k>},
    element_format{"Q6_K", 14, 256, 210, each_block<256, 210, q6_k>},
    // known by name and size only
    element_format{"Q8_1", 9, 32, 36, nullptr},
    element_format{"Q2_K", 10, 256, 84, nullptr},
    element_format{"Q3_K", 11, 256, 110, nullptr},
    element_format{"Q8_K", 15, 256, 292, nullptr},
    element_format{"IQ2_XXS", 16, 256, 66, nullptr},
    element_format{"IQ2_XS", 17, 256, 74, nullptr},
    element_format{"IQ3_XXS", 18, 256, 98, nullptr},
    element_format{"IQ1_S", 19, 256, 50, nullptr},
    element_format{"IQ4_NL", 20, 32, 18, nullptr},
    element_format{"IQ3_S", 21, 256, 110, nullptr},
    element_format{"IQ2_S", 22, 256, 82, nullptr},
    element_format{"IQ4_XS", 23, 256, 136, nullptr},
    element_format{"I8", 24, 1, 1, nullptr},
    element_format{"I16", 25, 1, 2, nullptr},
    element_format{"I32", 26, 1, 4, nullptr},
    element_format{"I64", 27, 1, 8, nullptr},
    element_format{"IQ1_M", 29, 256, 56, nullptr},
    element_format{"TQ1_0", 34, 256, 54, nullptr},
    element_format{"TQ2_0", 35, 256, 66, nullptr},
    element_format{"MXFP4", 39, 32, 17, nullptr},
    element_format{"NVFP4", 40, 64, 36, nullptr},
    element_format{"Q1_0", 41, 128, 18, nullptr},
};

}  // namespace

std::span<const element_format> element_formats() { return formats; }

const element_format* format_of_gguf(std::uint32_t number) {
  const auto* found = std::ranges::find(formats, number, &element_format::gguf);
  return found == formats.end() ? nullptr : found;
}

const element_format* format_named(std::string_view name) {
  const auto* found = std::ranges::find(formats, name, &element_format::name);
  return found == formats.end() ? nullptr : found;
}

std::string formats_that_are_read() {
  std::vector<std::string_view> names;
  for (const auto& each : formats)
    if (each.is_read()) names.push_back(each.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace examples::layerwise_weights
