#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace layerwise_profile {

/// The element types a tensor file may hold. Only the first four can be profiled; the others are known so
/// that a file may carry token ids or masks beside the hidden states.
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
  c64
};

struct data_type_info {
  data_type type;
  std::string_view name;  // as safetensors spells it
  std::size_t size;       // bytes of one element
};

/// In the order of the enumeration.
inline constexpr std::array<data_type_info, 17> data_types{{
    {data_type::f64, "F64", 8},
    {data_type::f32, "F32", 4},
    {data_type::f16, "F16", 2},
    {data_type::bf16, "BF16", 2},
    {data_type::i64, "I64", 8},
    {data_type::i32, "I32", 4},
    {data_type::i16, "I16", 2},
    {data_type::i8, "I8", 1},
    {data_type::u64, "U64", 8},
    {data_type::u32, "U32", 4},
    {data_type::u16, "U16", 2},
    {data_type::u8, "U8", 1},
    {data_type::boolean, "BOOL", 1},
    {data_type::f8_e4m3, "F8_E4M3", 1},
    {data_type::f8_e5m2, "F8_E5M2", 1},
    {data_type::f8_e8m0, "F8_E8M0", 1},
    {data_type::c64, "C64", 8},
}};

constexpr const data_type_info& info(data_type type) { return data_types[static_cast<std::size_t>(type)]; }
constexpr std::string_view name_of(data_type type) { return info(type).name; }
constexpr std::size_t size_of(data_type type) { return info(type).size; }
constexpr bool can_be_profiled(data_type type) { return type <= data_type::bf16; }

/// The type of that safetensors name, or nothing.
constexpr std::optional<data_type> data_type_named(std::string_view name) {
  for (const auto& entry : data_types)
    if (entry.name == name) return entry.type;
  return std::nullopt;
}

}  // namespace layerwise_profile
