// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/data/any_view.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/interop/detail/ggml_layout.hpp>
#include <layerwise/interop/detail/tensor_layout.hpp>

#include <ggml.h>

#include <cstddef>
#include <memory>
#include <variant>
#include <vector>

/// @file
/// Tensors of ggml, and pointers to them: ne[0] is d, ne[1] the tokens and ne[2] the layers (see layers_of); nb are the
/// strides in bytes. F64, F32, F16 and BF16 are read where they are, with whatever strides, and written to. Quantized
/// types are read row by row, through ggml's own to_float. A tensor must be computed, and in memory of the host: what a
/// backend keeps elsewhere throws unsupported_error (ggml_backend_tensor_get copies it). Link ggml-base, where all of
/// this is.
namespace layerwise::inline LAYERWISE_ABI {

/// A matrix of one of ggml's quantized types: rows of whole blocks.
struct ggml_rows {
  const std::byte* data;           ///< where row 0 begins
  index rows, cols;                ///< n_tokens, d
  index row_stride;                ///< bytes from one row to the next
  const ggml_type_traits* traits;  ///< of the type, with to_float
};

/// What a ggml_tensor is read as: its type is known when the program runs.
using ggml_view = std::variant<strided_view<const double>, strided_view<const float>, strided_view<const Eigen::half>,
                               strided_view<const Eigen::bfloat16>, ggml_rows>;

template <>
struct embedding_traits<ggml_rows> {
  static constexpr bool is_view = true;
  static index rows(const ggml_rows& m) { return m.rows; }
  static index cols(const ggml_rows& m) { return m.cols; }
  static void read_row(const ggml_rows& m, index row, double* out) {
    const auto values = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(m.cols));
    m.traits->to_float(m.data + row * m.row_stride, values.get(), m.cols);
    for (index j = 0; j < m.cols; ++j) out[j] = static_cast<double>(values[static_cast<std::size_t>(j)]);
  }
};

/// Rank 2: ne[1] tokens x ne[0] dimensions, transposed or permuted or part of another tensor as it may be; quantized
/// rows must be whole. To be written to it must be F64, F32, F16 or BF16.
///
/// Throws unsupported_error for other types, for rows of quantized types that are not whole and for memory that is not
/// the host's, shape_error for a higher rank.
template <>
struct embedding_traits<ggml_tensor> {
  static constexpr bool is_view = true;
  static ggml_view view(const ggml_tensor& t);
  static any_writable_view view(ggml_tensor& t) { return detail::view_tensor<void>(t); }
};

/// ggml hands out pointers; ranges of them are hidden states, to be written to where the pointers are not const. Throws
/// unsupported_error for a null pointer.
template <>
struct embedding_traits<ggml_tensor*> {
  static constexpr bool is_view = true;
  static ggml_view view(ggml_tensor* const& t);
  static any_writable_view view(ggml_tensor*& t);
};
template <>
struct embedding_traits<const ggml_tensor*> {
  static constexpr bool is_view = true;
  static ggml_view view(const ggml_tensor* t);
};

/// Rank 3: hidden states, without a copy, by axis `layer_axis`, counted from the slowest: 0 is ne[2] layers of ne[1]
/// tokens, 1 is ne[1] layers of ne[2] tokens. Of a tensor that is not const, layers_of gives layers to write to, which
/// a quantized one does not have: std::as_const(t) reads it. Throws as above, and shape_error for another axis.
std::vector<ggml_view> layers_of(const ggml_tensor& t, std::size_t layer_axis = 0);

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

/// The quantized matrix of axes 0 and `token_axis`. Throws unsupported_error for types without to_float and for rows
/// that are not whole blocks, one after the other; shape_error for a higher rank or a null pointer.
inline ggml_rows quantized_rows(const ggml_tensor& t, std::size_t rank, std::size_t token_axis) {
  require_host(t);
  const ggml_type_traits* traits = ggml_get_type_traits(t.type);
  if (traits->to_float == nullptr) fail_ggml_type("GGML_TYPE_F64, F32, F16, BF16 or a quantized type", t);
  require_rank(t, rank);
  if (t.nb[0] != traits->type_size || t.ne[0] % traits->blck_size != 0)
    fail<unsupported_error>(
        text("rows of whole blocks of ", traits->blck_size, " elements in ", traits->type_size, " bytes"),
        text("ne[0] = ", t.ne[0], ", nb[0] = ", t.nb[0]), ggml_place);
  const ggml_rows rows{static_cast<const std::byte*>(t.data), t.ne[token_axis], t.ne[0],
                       static_cast<index>(t.nb[token_axis]), traits};
  if (rows.data == nullptr && rows.rows > 0 && rows.cols > 0)
    fail<shape_error>(text("memory of ", shape{rows.rows, rows.cols}), "a null pointer", ggml_place);
  return rows;
}

inline ggml_view read_ggml(const ggml_tensor& t) {
  if (!ggml_scalar(t)) return quantized_rows(t, 2, 1);
  return std::visit([](const auto& view) { return ggml_view(view); }, view_tensor<const void>(t));
}

inline std::vector<ggml_view> read_ggml_layers(const ggml_tensor& t, std::size_t layer_axis) {
  std::vector<ggml_view> layers;
  if (ggml_scalar(t)) {
    for (const any_view& layer : view_layers<const void>(t, layer_axis))
      std::visit([&](const auto& view) { layers.emplace_back(view); }, layer);
    return layers;
  }
  if (layer_axis > 1) fail<shape_error>("a layer axis of 0 or 1 of a quantized tensor", text(layer_axis), ggml_place);
  ggml_rows rows = quantized_rows(t, 3, layer_axis == 0 ? 1 : 2);
  const std::size_t axis = layer_axis == 0 ? 2 : 1;  // ggml's, which counts from the fastest
  for (index l = 0; l < t.ne[axis]; ++l, rows.data += t.nb[axis]) layers.emplace_back(rows);
  return layers;
}

inline const ggml_tensor& pointee(const ggml_tensor* t) {
  if (t == nullptr) fail<unsupported_error>("a tensor", "a null pointer", ggml_place);
  return *t;
}

}  // namespace detail

inline ggml_view embedding_traits<ggml_tensor>::view(const ggml_tensor& t) { return detail::read_ggml(t); }

inline ggml_view embedding_traits<ggml_tensor*>::view(ggml_tensor* const& t) {
  return detail::read_ggml(detail::pointee(t));
}
inline any_writable_view embedding_traits<ggml_tensor*>::view(ggml_tensor*& t) {
  return detail::pointee(t), detail::view_tensor<void>(*t);
}
inline ggml_view embedding_traits<const ggml_tensor*>::view(const ggml_tensor* t) {
  return detail::read_ggml(detail::pointee(t));
}

inline std::vector<ggml_view> layers_of(const ggml_tensor& t, std::size_t layer_axis) {
  return detail::read_ggml_layers(t, layer_axis);
}

}  // namespace layerwise::inline LAYERWISE_ABI
