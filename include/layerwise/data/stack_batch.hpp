// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/embedding.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

/// @file
/// The hidden states of a batch whose layers come one after the other.
namespace layerwise::inline LAYERWISE_ABI {

/// A batch of hidden states that is fed one layer after the other, as an engine makes them in buffers that it uses
/// again for the next layer. It is a range of row_matrix, and so is what any function takes for hidden states:
///
///     stack_batch batch;
///     while (engine.next_micro_batch()) {
///       batch.clear();
///       engine.run([&](const auto& h) { batch.add_layer(h); });  // h_0, then each layer's output
///       profiler.add(batch, mask);                               // all or nothing, the bits of adding them at once
///     }
///
/// Layers are copied, as double, which is exact: 8 n_tokens d bytes a layer, kept for the next batch. A profile does
/// not depend on how tokens are batched, so keep batches small: at most 512 tokens, an engine's usual micro-batch and
/// the library's own block. 13 layers of d = 4096 then take 218 MB.
class stack_batch {
 public:
  /// Begins the next batch. Memory is kept: layers of the last batch's shape allocate nothing.
  void clear() { count_ = 0; }

  /// Adds the next layer, h_0 first: n_tokens x d, any embedding matrix. It is copied before the call returns, on this
  /// thread alone.
  ///
  /// Throws shape_error for another shape than that of the batch's first layer, degenerate_input_error for an empty
  /// one; the batch is then what it was before. NaN and infinity are not looked for: padding may hold them, and which
  /// rows are padding is said when the batch is used.
  template <embedding_matrix M>
  void add_layer(const M& layer) {
    const detail::row_reader reader(layer);
    count_ = size();
    const place here{.operand = "hidden_states", .layer = count_};
    detail::require_not_empty(reader, here);
    if (count_ > 0) detail::require_equal_shape({layers_[0].rows(), layers_[0].cols()}, detail::shape_of(reader), here);
    // Read before layers_ grows: the layer may be computed from those in it.
    const bool grows = count_ == static_cast<index>(layers_.size());
    row_matrix copy = grows ? row_matrix() : std::move(detail::at(layers_, count_));
    copy.resize(reader.rows(), reader.cols());
    copy_rows(reader, copy);
    if (grows)
      layers_.push_back(std::move(copy));
    else
      detail::at(layers_, count_) = std::move(copy);
    ++count_;
  }

  /// The number of layers added, L + 1 of a whole batch.
  index size() const { return (std::min)(count_, static_cast<index>(layers_.size())); }
  /// h_l for l = `layer`, which is not checked: n_tokens x d. The next layer may be computed from it; the reference is
  /// good until that has been added, or clear().
  const row_matrix& operator[](index layer) const { return detail::at(layers_, layer); }
  auto begin() const { return layers_.begin(); }         ///< at h_0
  auto end() const { return layers_.begin() + size(); }  ///< after the layer added last

 private:
  template <class Reader>
  static void copy_rows(const Reader& reader, row_matrix& to) {
    std::array<index, 64> rows;  // some at once: those of a matrix stored by columns share cache lines
    for (index first = 0; first < to.rows(); first += static_cast<index>(rows.size())) {
      std::iota(rows.begin(), rows.end(), first);
      const index count = (std::min)(static_cast<index>(rows.size()), to.rows() - first);
      reader.read_rows(rows.data(), count, to.data() + first * to.cols(), to.cols());
    }
  }

  std::vector<row_matrix> layers_;  // the first count_ are those of the batch, or none where it was moved from
  index count_ = 0;
};

}  // namespace layerwise::inline LAYERWISE_ABI
