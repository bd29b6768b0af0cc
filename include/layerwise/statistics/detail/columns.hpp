// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/lanes.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/product.hpp>
#include <layerwise/kernel/scaling.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <type_traits>

// The columns of a layer, or of an update y - x, about a provisional shift, and their sums over tokens.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Tokens per block: enough for the kernel of kernel/product.hpp to run at full speed (256 would do), and for C to be
/// read and written seldom; four blocks of 512 x 768 doubles, raw and packed, fit a shared cache. Fixed, so that
/// results do not depend on how rows were batched.
inline constexpr index block_rows = 512;

/// Raw rows of a layer, read in units of 1 / scale, less the shift.
struct layer_rows {
  const row_block& v;

  index rows() const { return v.rows(); }
  index cols() const { return v.cols(); }
  template <class Columns>
  Columns shifted(index i, index j, double scale, const Columns& shift) const {
    return load<Columns>(v.data() + i * v.cols() + j) * scale - shift;
  }
};

/// Those of y - x, not rounded: formed after scaling, because the difference of huge values may overflow. What y - x
/// rounds away comes back once the shift is out (Knuth's exact sum): an update that is small beside the offset of its
/// layers, or next to constant, is as exact as any.
struct update_rows {
  const row_block& x;
  const row_block& y;

  index rows() const { return y.rows(); }
  index cols() const { return y.cols(); }
  template <class Columns>
  Columns shifted(index i, index j, double scale, const Columns& shift) const {
    const Columns to = load<Columns>(y.data() + i * y.cols() + j) * scale;
    const Columns from = load<Columns>(x.data() + i * x.cols() + j) * scale;
    const Columns difference = to - from, part = difference - to;
    return (difference - shift) + ((to - (difference - part)) - (from + part));
  }
};

/// v -> v * scale - shift, and what is summed of it.
struct column_frame {
  double scale = 1.0;      ///< a power of two; 1 unless squares would over- or underflow
  Eigen::VectorXd shift;   ///< in scaled units; empty before the first block
  Eigen::VectorXd sum;     ///< sum over tokens of the shifted values
  Eigen::VectorXd energy;  ///< sum over tokens of their squares
  Eigen::VectorXd moved;   ///< what merges added and took away again: energy + moved is what was rounded

  bool started() const { return shift.size() > 0; }

  /// Takes the mean of the first block as the shift. value(i, j) gives the block's elements in scaled units.
  template <class Value>
  void start(index rows, index columns, const Value& value) {
    // About the first row: a constant column gets exactly its constant, hence exactly no variance.
    shift.resize(columns);
    for (index j = 0; j < columns; ++j) shift[j] = value(0, j);
    Eigen::VectorXd about_first = Eigen::VectorXd::Zero(columns);
    for (index i = 1; i < rows; ++i)
      for (index j = 0; j < columns; ++j) about_first[j] += value(i, j) - shift[j];
    shift += about_first / static_cast<double>(rows);
    clear_sums();
  }

  void clear_sums() { sum = energy = moved = Eigen::VectorXd::Zero(shift.size()); }

  /// Counts rows, and leaves them shifted in `out`.
  template <class Rows>
  void absorb(const Rows& rows, packed_block& out) {
    sweep<true, true>(rows, &out, *this);
  }
  /// Counts rows only.
  template <class Rows>
  void count(const Rows& rows) {
    sweep<true, false>(rows, nullptr, *this);
  }
  /// Shifts rows only.
  template <class Rows>
  void apply(const Rows& rows, packed_block& out) const {
    sweep<false, true>(rows, &out, *this);
  }

  /// Changes the scale of everything kept, and returns the ratio of new to old: 0 where the old values are
  /// too small to matter beside the new ones.
  double rescale(double to) {
    const double ratio = to / scale;
    scale = to, shift *= ratio, sum *= ratio;
    for (Eigen::VectorXd* squares : {&energy, &moved}) *squares *= ratio, *squares *= ratio;  // ratio^2 may overflow
    return ratio;
  }

  /// The mean over n tokens, in scaled units.
  Eigen::VectorXd mean(double n) const {
    Eigen::VectorXd out = shift;
    for (index j = 0; j < out.size(); ++j) out[j] += sum[j] / n;
    return out;
  }
  /// In the data's own.
  Eigen::VectorXd own_mean(double n) const {
    Eigen::VectorXd out = mean(n);
    for (index j = 0; j < out.size(); ++j) out[j] /= scale;
    return out;
  }

  /// The energy that took part in the sums of column j: rounding is relative to it.
  double noise(index j) const { return energy[j] + moved[j]; }

  /// The largest share of a column's energy that is its mean's; over n tokens. In [0, 1].
  double drift(double n) const {
    double largest = 0.0;
    for (index j = 0; j < sum.size(); ++j)
      if (sum[j] != 0.0) largest = (std::max)(largest, std::abs(sum[j]) / std::sqrt(n * noise(j)));
    return (std::min)(1.0, largest);
  }

 private:
  /// One walk down the tokens of a block, a panel of columns at once, whose sums stay in registers; what is left over
  /// from whole panels column by column. A column is always summed by one thread, from the first token to the last.
  template <bool counted, bool stored, class Rows, class Frame>
  static void sweep(const Rows& rows, packed_block* out, Frame& frame) {
    if constexpr (stored) out->resize(rows.rows(), rows.cols());
    const auto panel = [&]<class Columns>(index j, std::type_identity<Columns>) {
      const Columns offset = load<Columns>(frame.shift.data() + j);
      Columns block_sum = zero<Columns>(), block_energy = zero<Columns>();
      double* to = nullptr;
      if constexpr (stored) to = out->at(j);
      for (index i = 0; i < rows.rows(); ++i) {
        const Columns value = rows.template shifted<Columns>(i, j, frame.scale, offset);
        if constexpr (stored) store(value, to), to += out->row_stride();
        if constexpr (counted) block_sum += value, block_energy += value * value;
      }
      if constexpr (counted) {
        add_to(frame.sum.data() + j, block_sum);
        add_to(frame.energy.data() + j, block_energy);
      }
    };
    constexpr index width = packed_block::width;
    parallel_chunks(rows.cols(), width, [&](index first, index count) {
      if (count == width) return panel(first, std::type_identity<Eigen::Array<double, width, 1>>());
      for (index j = first; j < first + count; ++j) panel(j, std::type_identity<double>());
    });
    if constexpr (stored) out->clear_padding();
  }
};

/// How values in one frame read in another: v' = ratio * v + offset.
struct change_of_frame {
  double ratio;
  Eigen::VectorXd offset;

  change_of_frame(const column_frame& from, const column_frame& to)
      : ratio(to.scale / from.scale), offset(from.shift * ratio - to.shift) {}
};

/// Adds to one frame what another has seen of n tokens.
inline void merge_columns(column_frame& mine, const column_frame& theirs, index n) {
  const change_of_frame to_mine(theirs, mine);
  const double ratio = to_mine.ratio, count = static_cast<double>(n);
  for (index j = 0; j < mine.sum.size(); ++j) {
    const double offset = to_mine.offset[j], sum = ratio * theirs.sum[j];
    const double energy = ratio * (ratio * theirs.energy[j]) + offset * (2.0 * sum + count * offset);
    const double norm = ratio * std::sqrt(theirs.noise(j)) + std::sqrt(count) * std::abs(offset);
    mine.sum[j] += sum + count * offset;
    mine.energy[j] += energy;
    mine.moved[j] += (std::max)(0.0, norm * norm - energy);
  }
}

/// How a sum over tokens was taken: of at most block_rows terms at once, to which `additions` further blocks were added
/// one by one.
struct summation {
  index tokens = 0;
  index additions = 0;

  /// gamma: sums of products of the columns of two frames, about their means or about 0, are off by at most gamma times
  /// the roots of both noises. A term passes through `chain` roundings at most, those of its own factors included in
  /// the 8. Taking out the means, of sums that are as long, rounds as much again, in so far as there is a drift to take
  /// out; so does putting the shift back in, where nothing is centred.
  double rounding(const column_frame& x, const column_frame& t, bool centred) const {
    const double n = static_cast<double>(tokens);
    const double chain = (std::min)(n, static_cast<double>(block_rows)) + static_cast<double>(additions);
    const double times = (centred ? 1.0 : 2.0) + 2.0 * (std::max)(x.drift(n), t.drift(n));
    return unit_roundoff * (times * chain + 8.0);
  }
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
