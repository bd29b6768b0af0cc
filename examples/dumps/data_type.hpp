#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace examples::dumps {

/// The element types a tensor file may hold. Only the first four can be profiled; the others are known so
/// that a file may carry token ids, masks or weights beside the hidden states. `unknown` is any other, stepped over.
enum class data_type {
  f64,
  f32,
  f16,
  bf16,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean,
  f8_e4m3,
  f8_e5m2,
  f8_e8m0,
  f6_e2m3,
  f6_e3m2,
  f4,
  c64,
  unknown
};

struct data_type_info {
  data_type type;
  std::string_view name;  // as safetensors spells it
  std::size_t bits;       // of one element; 0: not known
};

/// In the order of the enumeration.
inline constexpr std::array<data_type_info, 21> data_types{{
    {data_type::f64, "F64", 64},
    {data_type::f32, "F32", 32},
    {data_type::f16, "F16", 16},
    {data_type::bf16, "BF16", 16},
    {data_type::i64, "I64", 64},
    {data_type::i32, "I32", 32},
    {data_type::i16, "I16", 16},
    {data_type::i8, "I8", 8},
    {data_type::u64, "U64", 64},
    {data_type::u32, "U32", 32},
    {data_type::u16, "U16", 16},
    {data_type::u8, "U8", 8},
    {data_type::boolean, "BOOL", 8},
    {data_type::f8_e4m3, "F8_E4M3", 8},
    {data_type::f8_e5m2, "F8_E5M2", 8},
    {data_type::f8_e8m0, "F8_E8M0", 8},
    {data_type::f6_e2m3, "F6_E2M3", 6},
    {data_type::f6_e3m2, "F6_E3M2", 6},
    {data_type::f4, "F4", 4},
    {data_type::c64, "C64", 64},
    {data_type::unknown, "of an unknown type", 0},
}};

constexpr const data_type_info& info(data_type type) { return data_types[static_cast<std::size_t>(type)]; }
constexpr std::string_view name_of(data_type type) { return info(type).name; }
constexpr std::size_t bits_of(data_type type) { return info(type).bits; }
/// Bytes of an element of a type that can be profiled.
constexpr std::size_t size_of(data_type type) { return info(type).bits / 8; }
constexpr bool can_be_profiled(data_type type) { return type <= data_type::bf16; }
constexpr bool is_integer(data_type type) { return type >= data_type::i64 && type <= data_type::boolean; }

/// The type of that safetensors name, or unknown.
constexpr data_type data_type_named(std::string_view name) {
  for (const auto& entry : data_types)
    if (entry.name == name) return entry.type;
  return data_type::unknown;
}

}  // namespace examples::dumps
