#pragma once

#include <layerwise/data.hpp>

#include <cstddef>
#include <cstring>
#include <variant>

/// @file
/// What an array of Python is to the library: one type, so that each metric is compiled once.
namespace python_module {

using layerwise::index;

/// The rows of memory that is no strided_view: sequences and tokens without a common stride, strides of 0, of an array
/// that was broadcast, or addresses that are no multiples of the element.
struct nested_rows {
  layerwise::scalar_type type;
  const std::byte* data;
  index sequences, length, dimensions;
  index sequence_stride, token_stride, stride;  // in bytes
};

using matrix = std::variant<layerwise::strided_view<const double>, layerwise::strided_view<const float>,
                            layerwise::strided_view<const Eigen::half>, layerwise::strided_view<const Eigen::bfloat16>,
                            nested_rows>;

template <class Scalar>
void read_elements(const std::byte* from, index stride, index count, double* out) {
  for (index j = 0; j < count; ++j) {
    Scalar element;
    std::memcpy(&element, from + j * stride, sizeof element);
    out[j] = static_cast<double>(element);
  }
}

}  // namespace python_module

template <>
struct layerwise::embedding_traits<python_module::nested_rows> {
  static constexpr bool is_view = true;
  static index rows(const python_module::nested_rows& m) { return m.sequences * m.length; }
  static index cols(const python_module::nested_rows& m) { return m.dimensions; }
  static void read_row(const python_module::nested_rows& m, index i, double* out) {
    const std::byte* row = m.data + i / m.length * m.sequence_stride + i % m.length * m.token_stride;
    switch (m.type) {
      case scalar_type::float64:
        return python_module::read_elements<double>(row, m.stride, m.dimensions, out);
      case scalar_type::float32:
        return python_module::read_elements<float>(row, m.stride, m.dimensions, out);
      case scalar_type::float16:
        return python_module::read_elements<Eigen::half>(row, m.stride, m.dimensions, out);
      case scalar_type::bfloat16:
        return python_module::read_elements<Eigen::bfloat16>(row, m.stride, m.dimensions, out);
    }
  }
};
