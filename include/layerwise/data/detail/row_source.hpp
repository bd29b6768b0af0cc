// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_reader.hpp>

#include <functional>
#include <span>
#include <string_view>
#include <utility>

namespace layerwise::inline LAYERWISE_ABI::detail {

/// The tokens of some layers that take part, as rows of doubles: here the types of matrices end. What is below is
/// called once a row or a block, where type erasure costs nothing, and compiles once, not once a type.
///
/// Rows are counted by i, 0 ... size() - 1, among those that take part. Readers and tokens must live on.
class row_source {
 public:
  /// Rows tokens[k] of a layer to out + k * stride, for k = 0 ... count - 1.
  using row_reading = std::function<void(index layer, const index* tokens, index count, double* out, index stride)>;
  /// How messages name a layer.
  using layer_naming = std::function<place(index layer)>;

  row_source(row_reading read, std::span<const index> tokens, layer_naming name)
      : read_(std::move(read)), tokens_(tokens), name_(std::move(name)) {}

  index size() const { return static_cast<index>(tokens_.size()); }
  /// The row, in the matrices, of row i.
  index token(index i) const { return at(tokens_, i); }
  place place_of(index layer, index i) const {
    place at = name_(layer);
    at.row = token(i);
    return at;
  }

  void read(index layer, index i, double* out) const { read(layer, i, 1, out, 0); }
  /// Rows first ... first + count - 1, some at once: those of a matrix stored by columns share cache lines.
  void read(index layer, index first, index count, double* out, index stride) const {
    read_(layer, tokens_.data() + first, count, out, stride);
  }

  /// Layers `from` and `to` alone, as layers 0 and 1. This source must live on.
  row_source pair(index from, index to) const {
    const auto layer_of = [from, to](index which) { return which == 0 ? from : to; };
    return {[this, layer_of](index which, const index* tokens, index count, double* out, index stride) {
              read_(layer_of(which), tokens, count, out, stride);
            },
            tokens_, [this, layer_of](index which) { return name_(layer_of(which)); }};
  }

 private:
  row_reading read_;
  std::span<const index> tokens_;
  layer_naming name_;
};

/// How messages name the two operands of a pair.
struct operand_names {
  std::string_view x = "X", y = "Y";
};
inline constexpr operand_names pair_names{"X", "Y"};
inline constexpr operand_names residual_names{"before", "after"};

/// Throws shape_error if the numbers of rows differ, degenerate_input_error for empty matrices.
template <class X, class Y>
void require_pair(const row_reader<X>& x, const row_reader<Y>& y, const operand_names& names) {
  if (y.rows() != x.rows())
    fail<shape_error>(text(x.rows(), " rows, as in ", names.x), text(shape_of(y)), {.operand = names.y});
  require_not_empty(x, {.operand = names.x});
  require_not_empty(y, {.operand = names.y});
}

/// One layer alone.
template <class X>
row_source layer_source(const row_reader<X>& x, std::span<const index> tokens) {
  return {
      [&x](index, const index* rows, index count, double* out, index stride) { x.read_rows(rows, count, out, stride); },
      tokens, [](index) { return place{.operand = "X"}; }};
}

/// Layer 0 is x, layer 1 is y.
template <class X, class Y>
row_source pair_source(const row_reader<X>& x, const row_reader<Y>& y, std::span<const index> tokens,
                       const operand_names& names) {
  return {[&x, &y](index layer, const index* rows, index count, double* out, index stride) {
            layer == 0 ? x.read_rows(rows, count, out, stride) : y.read_rows(rows, count, out, stride);
          },
          tokens, [names](index layer) { return place{.operand = layer == 0 ? names.x : names.y}; }};
}

/// Layers are those of open_layers().
template <class Readers>
row_source stack_source(const Readers& layers, std::span<const index> tokens) {
  return {[&layers](index layer, const index* rows, index count, double* out, index stride) {
            at(layers, layer).read_rows(rows, count, out, stride);
          },
          tokens, [](index layer) { return place{.operand = "hidden_states", .layer = layer}; }};
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
