// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/double_double.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/product.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/detail/distinct_rows.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <numeric>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/// @file
/// Sufficient statistics of hidden states: everything the least-squares scores need, in O(d^2) memory
/// per layer.
//
// Data flow. Rows (tokens) are read as double into blocks of block_rows tokens. A block is walked once from
// layer 0 to L with four of them in cache: the raw rows of the previous layer and of the current one, and,
// packed for the kernel, those of the regression's input and of its target. Each layer's columns are centred
// about a provisional shift (the mean of its first block, so that offsets cost no digits), and
//
//     second += x^T x      one symmetric update per layer, shared by the scores with and without the residual
//     cross  += x^T t      one product per layer pair
//
// is all the O(n d^2) work: 3 n d^2 flops per pair. The target t is the residual update r = y - x or the
// output y, whichever is smaller (measured on the first block). Both regressions leave the same residual,
// since y = r + x, so one target gives both scores; the smaller one gives them without cancellation.
namespace layerwise::inline LAYERWISE_ABI {
namespace detail {

/// Tokens per block: enough for the kernel of detail/product.hpp to run at full speed (256 would do), and for
/// C to be read and written seldom; four blocks of 512 x 768 doubles, raw and packed, fit a shared cache.
/// Fixed, so that results do not depend on how rows were batched.
inline constexpr index block_rows = 512;

/// body(first column, integral_constant<columns>) for all columns, in parallel: a panel at once, whose
/// columns stay in registers while the kernel runs down the tokens of a block, and what is left one by one. A
/// column is always summed by one thread, from the first token to the last.
template <class Body>
void for_panels(index columns, const Body& body) {
  constexpr index width = packed_block::width;
  parallel_chunks(columns, width, [&](index first, index count) {
    if (count == width) return body(first, std::integral_constant<int, width>());
    for (index j = first; j < first + count; ++j) body(j, std::integral_constant<int, 1>());
  });
}

/// The columns of a layer (or of an update) about a provisional shift: v -> v * scale - shift.
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
    sum = energy = moved = Eigen::VectorXd::Zero(columns);
  }

  /// out = v * scale - shift for a block of raw values v, which is counted.
  void absorb(const row_block& v, packed_block& out) { sweep(v, nullptr, &out, &sum, &energy); }

  /// The same for v = y - x, not rounded; formed after scaling, because the difference of huge values may overflow.
  void absorb_update(const row_block& x, const row_block& y, packed_block& out) { sweep(y, &x, &out, &sum, &energy); }

  /// Counts without an output.
  void count(const row_block& v) { sweep(v, nullptr, nullptr, &sum, &energy); }

  /// An output without counting.
  void apply(const row_block& v, packed_block& out) const { sweep(v, nullptr, &out, nullptr, nullptr); }

  /// Changes the scale of everything kept, and returns the ratio of new to old: 0 where the old values are
  /// too small to matter beside the new ones.
  double rescale(double to) {
    const double ratio = to / scale;
    scale = to, shift *= ratio, sum *= ratio;
    for (Eigen::VectorXd* squares : {&energy, &moved}) *squares *= ratio, *squares *= ratio;  // ratio^2 may overflow
    return ratio;
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
  /// out = (v [- minus]) * scale - shift; what goes into out is summed. Null: not asked for. Six columns of
  /// lanes stay in registers while the kernel runs down the tokens of a block.
  void sweep(const row_block& v, const row_block* minus, packed_block* out, Eigen::VectorXd* sum_to,
             Eigen::VectorXd* energy_to) const {
    if (out != nullptr) out->resize(v.rows(), v.cols());
    for_panels(v.cols(), [&](index j, auto lane) {
      using columns = Eigen::Array<double, lane, 1>;
      const auto load = [&](const row_block& block, index i) -> columns {
        return columns::Map(block.data() + i * block.cols() + j) * scale;
      };
      const columns offset = columns::Map(shift.data() + j);
      columns block_sum = columns::Zero(), block_energy = columns::Zero();
      double* to = out == nullptr ? nullptr : out->at(j);
      for (index i = 0; i < v.rows(); ++i) {
        columns value = load(v, i);
        if (minus == nullptr) {
          value -= offset;
        } else {
          // What y - x rounds away comes back once the shift is out (Knuth's exact sum): an update that is small
          // beside the offset of its layers, or next to constant, is as exact as any.
          const columns from = load(*minus, i), difference = value - from, part = difference - value;
          value = (difference - offset) + ((value - (difference - part)) - (from + part));
        }
        if (to != nullptr) columns::Map(to) = value, to += out->row_stride();
        block_sum += value;
        block_energy += value * value;
      }
      if (sum_to != nullptr) {
        columns::Map(sum_to->data() + j) += block_sum;
        columns::Map(energy_to->data() + j) += block_energy;
      }
    });
    if (out != nullptr) out->clear_padding();
  }
};

/// Sees a block of raw rows of the pair l, layers l - 1 and l. Empty: nobody looks.
using observe_pair =
    std::function<void(index l, const Eigen::Ref<const row_block>& x, const Eigen::Ref<const row_block>& y)>;

/// Whether a row of zeros, which has no direction, may be added.
enum class zero_rows { allowed, refused };

/// The moments of a chain of layers h_0 ... h_L and of its neighbouring pairs: the engine of cross_moments (L
/// = 1) and of layer_profiler. Rows that do not fill a block wait in `pending_`, so that the result does not
/// depend, to the last bit, on how the rows were batched.
class moment_chain {
 public:
  moment_chain() = default;

  /// Without products only the columns' sums are taken: O(n d) work and O(d) memory a layer.
  explicit moment_chain(const std::vector<index>& dimensions, bool products = true)
      : layers_(dimensions.size()), pairs_(dimensions.size() - 1), products_(products) {
    for (std::size_t l = 0; l < dimensions.size(); ++l) {
      layers_[l].dimensions = dimensions[l];
      layers_[l].different = distinct_rows(dimensions[l] + 1);
    }
  }

  index layers() const { return static_cast<index>(layers_.size()); }
  index dimensions(index layer) const { return at(layers_, layer).dimensions; }
  index tokens() const { return tokens_ + pending_rows_; }

  /// Adds rows of all layers. Checks all of them before any is added, so that an exception leaves the moments as they
  /// were. Throws non_finite_error, and degenerate_input_error for a row of zeros where those are refused.
  /// observe(pair, x, y) sees every block of raw rows of every pair, once.
  void add(const row_source& source, zero_rows zeros, const observe_pair& observe = {}) {
    const auto row_peaks = inspect(source, zeros);
    const index n = source.size();
    workspace space;
    for (index done = 0; done < n;) {
      const index count = (std::min)(block_rows - pending_rows_, n - done);
      // Block by block, so that scales do not depend on how rows were batched either.
      for (index l = 0; l < layers(); ++l)
        for (index i = done; i < done + count; ++i)
          at(layers_, l).peak = (std::max)(at(layers_, l).peak, at(at(row_peaks, l), i));
      if (count == block_rows) {
        add_block(source, done, count, observe, space);
      } else {
        append_pending(source, done, count);
        if (pending_rows_ == block_rows) flush(observe, space);
      }
      done += count;
    }
  }

  /// Adds what another chain of the same dimensions has seen. Exact algebra, whatever the two shifts are.
  /// Rows still pending in `other` are added as rows.
  void merge(const moment_chain& other, const observe_pair& observe = {}) {
    for (index l = 0; l < layers(); ++l)
      at(layers_, l).peak = (std::max)(at(layers_, l).peak, at(other.layers_, l).peak);
    if (other.tokens_ > 0) {
      if (tokens_ == 0)
        adopt(other);
      else
        merge_blocks(other);
    }
    workspace space;
    for (index done = 0; done < other.pending_rows_;) {
      const index count = (std::min)(block_rows - pending_rows_, other.pending_rows_ - done);
      append_pending(other.pending_rows(), done, count);
      done += count;
      if (pending_rows_ == block_rows) flush(observe, space);
    }
  }

  /// Shows the rows that no add_block has shown yet.
  void observe_pending(const observe_pair& observe) const {
    if (pending_rows_ == 0) return;
    for (index l = 1; l < layers(); ++l)
      observe(l, at(layers_, l - 1).pending.topRows(pending_rows_), at(layers_, l).pending.topRows(pending_rows_));
  }

  /// The moments of the pair (h_{l-1}, h_l), l = 1..L. Copies the pair's matrices; pending rows are included.
  pair_moments extract(index l, centering center) const { return slice(l).finish(center); }

  /// The same, once: of a chain that is needed no longer the matrices are moved out, a pair's by one thread. A copy of
  /// 32 MB (d = 2048) is as dear as a tenth of the products of 4096 tokens.
  pair_moments take(index l, centering center) {
    return slice(l, std::move(at(layers_, l - 1).second), std::move(pair(l))).finish(center);
  }

 private:
  struct layer_state {
    index dimensions = 0;
    column_frame frame;
    matrix second;      // x^T x about the shift, lower triangle; empty for the last layer
    row_block pending;  // block_rows raw rows, of which pending_rows_ wait for the block to fill
    double peak = 0.0;  // no |element| seen so far is larger, and it is at most d times larger than all
    distinct_rows different;
  };
  struct pair_state {
    column_frame update;  // r = y - x; unused if d_x != d_y
    matrix cross;         // x^T t about the shifts
    bool target_is_update = false;
    Eigen::VectorXd converted;  // energy that passed through `cross` when a merge changed its target
  };

  bool has_update(index l) const { return dimensions(l - 1) == dimensions(l); }
  pair_state& pair(index l) { return at(pairs_, l - 1); }
  const pair_state& pair(index l) const { return at(pairs_, l - 1); }

  /// What a pair's cross moments are taken with: the update or the output.
  const column_frame& target_frame(index l) const {
    return pair(l).target_is_update ? pair(l).update : at(layers_, l).frame;
  }

  /// Checks all rows, and returns for each layer and row a bound on its elements' magnitude: at least the
  /// largest, at most d times that, 0 for a row of zeros.
  std::vector<std::vector<double>> inspect(const row_source& source, zero_rows zeros) const {
    std::vector<std::vector<double>> peaks(layers_.size(),
                                           std::vector<double>(static_cast<std::size_t>(source.size())));
    for (index l = 0; l < layers(); ++l) {
      std::vector<double>& row_peaks = at(peaks, l);
      const auto inspect_rows = [&](index first, index count) {
        const index d = dimensions(l), stride = (d + 7) / 8 * 8;  // aligned: one order of additions
        row_block some(count, stride);
        source.read(l, first, count, some.data(), stride);
        for (index i = 0; i < count; ++i)  // NaN or infinity if an element is
          at(row_peaks, first + i) = Eigen::VectorXd::MapAligned(&some(i, 0), d).lpNorm<1>();
      };
      parallel_chunks(source.size(), rows_at_once, inspect_rows);
      for (index i = 0; i < source.size(); ++i) {
        double& peak = at(row_peaks, i);
        if (!std::isfinite(peak)) {
          Eigen::VectorXd row(dimensions(l));
          source.read(l, i, row.data());
          fail_non_finite(row.data(), row.size(), source.place_of(l, i));
          peak = row.lpNorm<Eigen::Infinity>();  // finite elements of a sum that overflowed
        }
        if (peak == 0.0 && zeros == zero_rows::refused)
          fail<degenerate_input_error>("a row with a direction (mask the tokens that have none)", "a row of zeros",
                                       source.place_of(l, i));
      }
    }
    return peaks;
  }

  /// Read at once by one thread: 4 cache lines of a float column, and no more than the second cache holds.
  static constexpr index rows_at_once = 64;

  /// Rows from... of a layer to `to` and the rows of `block` after it.
  static void read_block(const row_source& source, index layer, index from, index rows, row_block& block,
                         index to = 0) {
    parallel_chunks(rows, rows_at_once, [&](index first, index count) {
      source.read(layer, from + first, count, &block(to + first, 0), block.cols());
    });
  }

  void append_pending(const row_source& source, index first, index count) {
    for (index l = 0; l < layers(); ++l) {
      row_block& pending = at(layers_, l).pending;
      pending.resize(block_rows, dimensions(l));  // allocates once
      read_block(source, l, first, count, pending, pending_rows_);
    }
    pending_rows_ += count;
  }

  row_source pending_rows() const {
    return {[this](index layer, const index* rows, index count, double* out, index stride) {
              const row_block& pending = at(layers_, layer).pending;
              for (index k = 0; k < count; ++k) std::copy_n(&pending(rows[k], 0), pending.cols(), out + k * stride);
            },
            std::span(row_numbers()).first(static_cast<std::size_t>(pending_rows_)), [](index) { return place{}; }};
  }

  /// 0 ... block_rows - 1.
  static const std::array<index, block_rows>& row_numbers() {
    static const auto numbers = [] {
      std::array<index, block_rows> all;
      std::iota(all.begin(), all.end(), index{0});
      return all;
    }();
    return numbers;
  }

  /// What add_block works in: 512 rows of the previous layer, of the current one, and packed of x and the
  /// target.
  struct workspace {
    row_block previous, current;
    packed_block x, target;
  };

  void flush(const observe_pair& observe, workspace& space) {
    add_block(pending_rows(), 0, pending_rows_, observe, space);
    pending_rows_ = 0;
  }

  /// One walk through the layers.
  void add_block(const row_source& source, index first, index count, const observe_pair& observe, workspace& space) {
    choose_scales();
    auto& [previous, current, x, target] = space;
    current.resize(count, dimensions(0));
    read_block(source, 0, first, count, current);
    start(0, current);
    for (index l = 1; l < layers(); ++l) {
      previous.swap(current);
      current.resize(count, dimensions(l));
      read_block(source, l, first, count, current);
      start(l, current);
      if (observe) observe(l, previous, current);
      add_pair(l, previous, current, x, target);
    }
    at(layers_, layers() - 1).frame.count(current);
    tokens_ += count;
    ++additions_;
  }

  void start(index layer, const row_block& raw) {
    column_frame& frame = at(layers_, layer).frame;
    if (!frame.started())
      frame.start(raw.rows(), raw.cols(), [&](index i, index j) { return raw(i, j) * frame.scale; });
  }

  /// Raw rows of both layers, and room for the shifted ones of x and of the target.
  void add_pair(index l, const row_block& raw_x, const row_block& raw_y, packed_block& x, packed_block& target) {
    layer_state& input = at(layers_, l - 1);
    if (!products_) return input.frame.count(raw_x);
    const column_frame& output = at(layers_, l).frame;
    pair_state& state = pair(l);

    if (has_update(l)) {
      const bool first = !state.update.started();
      const double scale = state.update.scale;
      if (first)
        state.update.start(raw_y.rows(), raw_y.cols(),
                           [&](index i, index j) { return raw_y(i, j) * scale - raw_x(i, j) * scale; });
      state.update.absorb_update(raw_x, raw_y, target);
      if (first) state.target_is_update = is_smaller(state.update, output, raw_y);
    }
    if (!state.target_is_update) output.apply(raw_y, target);

    input.frame.absorb(raw_x, x);
    input.different.add(raw_x);
    if (input.second.size() == 0) input.second.setZero(x.cols(), x.cols());
    if (state.cross.size() == 0) {
      state.cross.setZero(x.cols(), target.cols());
      state.converted.setZero(target.cols());
    }
    add_products(1.0, {{x, x, input.second, true}, {x, target, state.cross}});
  }

  /// On the first block both frames' shifts are its means: is the update's energy at most the output's?
  static bool is_smaller(const column_frame& update, column_frame output, const row_block& raw_output) {
    output.count(raw_output);
    const double ratio = output.scale / update.scale;
    return update.energy.sum() * ratio * ratio <= output.energy.sum();
  }

  /// Keeps shifted values so that sums of their products neither overflow nor vanish. Changes nothing for
  /// data of ordinary magnitude; powers of two are exact. One scale serves all columns of a layer: those more
  /// than 1e150 below the largest count as constant.
  void choose_scales() {
    const auto fit = [](column_frame& frame, double peak) {
      const double reach = peak * frame.scale;
      if (frame.started() && (peak == 0.0 || (reach <= 0x1p450 && reach >= 0x1p-450))) return 1.0;
      return frame.rescale(safe_scale(peak));
    };
    std::vector<double> ratios;
    for (layer_state& layer : layers_) {
      ratios.push_back(fit(layer.frame, layer.peak));
      if (ratios.back() != 1.0) layer.second *= ratios.back(), layer.second *= ratios.back();
    }
    for (index l = 1; l < layers(); ++l) {
      const double update = fit(pair(l).update, (std::max)(at(layers_, l - 1).peak, at(layers_, l).peak));
      const double target = pair(l).target_is_update ? update : at(ratios, l);
      if (at(ratios, l - 1) != 1.0) pair(l).cross *= at(ratios, l - 1);
      if (target != 1.0) pair(l).cross *= target, pair(l).converted *= target, pair(l).converted *= target;
    }
  }

  void adopt(const moment_chain& other) {
    for (index l = 0; l < layers(); ++l) {
      at(layers_, l).frame = at(other.layers_, l).frame;
      at(layers_, l).second = at(other.layers_, l).second;
      at(layers_, l).different = at(other.layers_, l).different;
    }
    pairs_ = other.pairs_;
    tokens_ = other.tokens_;
    additions_ = other.additions_;
  }

  /// How values in one frame read in another: v' = ratio * v + offset.
  struct change_of_frame {
    double ratio;
    Eigen::VectorXd offset;
  };
  static change_of_frame between(const column_frame& from, const column_frame& to) {
    const double ratio = to.scale / from.scale;
    return {ratio, from.shift * ratio - to.shift};
  }

  static void merge_columns(column_frame& mine, const column_frame& theirs, index n) {
    const auto [ratio, offset] = between(theirs, mine);
    const double count = static_cast<double>(n);
    for (index j = 0; j < offset.size(); ++j) {
      const double sum = ratio * theirs.sum[j];
      const double energy = ratio * (ratio * theirs.energy[j]) + offset[j] * (2.0 * sum + count * offset[j]);
      const double norm = ratio * std::sqrt(theirs.noise(j)) + std::sqrt(count) * std::abs(offset[j]);
      mine.sum[j] += sum + count * offset[j];
      mine.energy[j] += energy;
      mine.moved[j] += (std::max)(0.0, norm * norm - energy);
    }
  }

  void merge_blocks(const moment_chain& other) {
    choose_scales();
    const double n = static_cast<double>(other.tokens_);
    for (index l = 1; products_ && l < layers(); ++l) {
      moment_chain theirs = other.slice(l);
      // In scales that fit what both have seen: that of the smaller values may be out of range for the larger.
      for (index k = 0; k < 2; ++k) theirs.layers_[static_cast<std::size_t>(k)].peak = at(layers_, l - 1 + k).peak;
      theirs.choose_scales();
      if (theirs.pair(1).target_is_update != pair(l).target_is_update) {
        // To the update where the output's scale is larger: in that one x^T x may be beyond the range of double.
        const bool to_update = at(layers_, l).frame.scale > pair(l).update.scale;
        if (to_update && !pair(l).target_is_update)
          change_target(l);
        else
          theirs.change_target(1);
      }
      const column_frame& x = theirs.layers_[0].frame;
      const column_frame& t = theirs.target_frame(1);
      const auto to_x = between(x, at(layers_, l - 1).frame);
      const auto to_t = between(t, target_frame(l));
      pair_state& mine = pair(l);
      mine.cross += to_x.ratio * (to_t.ratio * theirs.pair(1).cross);
      add_outer(to_x.ratio * x.sum, to_t.offset, mine.cross);
      add_outer(to_x.offset, to_t.ratio * t.sum + n * to_t.offset, mine.cross);
      mine.converted += to_t.ratio * (to_t.ratio * theirs.pair(1).converted);

      const Eigen::VectorXd rest = to_x.ratio * x.sum + 0.5 * n * to_x.offset;
      matrix& second = at(layers_, l - 1).second;
      second += to_x.ratio * (to_x.ratio * theirs.layers_[0].second);
      add_outer(to_x.offset, rest, second, true);
      add_outer(rest, to_x.offset, second, true);
    }
    // The frames last: the products above are relative to the sums as they were.
    for (index l = 1; l < layers(); ++l)
      if (has_update(l)) merge_columns(pair(l).update, other.pair(l).update, other.tokens_);
    for (index l = 0; l < layers(); ++l) {
      merge_columns(at(layers_, l).frame, at(other.layers_, l).frame, other.tokens_);
      at(layers_, l).different.merge(at(other.layers_, l).different);
    }
    tokens_ += other.tokens_;
    additions_ = (std::max)(additions_, other.additions_) + 8;  // what an element passes through above
  }

  /// Turns x^T y into x^T r or back, through x^T x. What cancels is noted in `converted`.
  void change_target(index l) {
    pair_state& state = pair(l);
    const layer_state& input = at(layers_, l - 1);
    const column_frame from = target_frame(l);
    const double sign = state.target_is_update ? 1.0 : -1.0;  // y = r + x, r = y - x
    state.target_is_update = !state.target_is_update;
    const column_frame& to = target_frame(l);
    const double from_target = to.scale / from.scale, from_x = to.scale / input.frame.scale;
    Eigen::VectorXd offset(from.shift.size());
    for (index j = 0; j < offset.size(); ++j) {  // small beside each of the three
      double_double sum{from.shift[j] * from_target, 0.0};
      sum.add(sign * from_x * input.frame.shift[j]);
      sum.add(-to.shift[j]);
      offset[j] = sum.value();
    }
    for (index j = 0; j < state.cross.cols(); ++j)
      for (index i = 0; i < state.cross.rows(); ++i) {
        const double second = i < j ? input.second(j, i) : input.second(i, j);
        state.cross(i, j) = from_target * state.cross(i, j) + sign * from_x * second;
      }
    add_outer(input.frame.sum, offset, state.cross);
    const double root_n = std::sqrt(static_cast<double>(tokens_));
    for (index j = 0; j < offset.size(); ++j) {
      const double norm = from_target * std::sqrt(from.noise(j)) + from_x * std::sqrt(input.frame.noise(j)) +
                          root_n * std::abs(offset[j]);
      state.converted[j] += norm * norm;
    }
  }

  /// The pair (h_{l-1}, h_l) as a chain of its own, pending rows included.
  moment_chain slice(index l) const { return slice(l, at(layers_, l - 1).second, pair(l)); }

  moment_chain slice(index l, matrix second, pair_state pair) const {
    moment_chain two({dimensions(l - 1), dimensions(l)}, products_);
    for (index k = 0; k < 2; ++k) {
      const layer_state& from = at(layers_, l - 1 + k);
      layer_state& to = at(two.layers_, k);
      to.frame = from.frame, to.pending = from.pending, to.peak = from.peak;
      to.different = from.different;
    }
    two.layers_[0].second = std::move(second);
    two.pairs_[0] = std::move(pair);
    two.tokens_ = tokens_, two.pending_rows_ = pending_rows_, two.additions_ = additions_;
    return two;
  }

  /// gamma of pair_moments. A sum of products is one of at most block_rows terms, to which further blocks are added
  /// one by one: each term passes through `chain` roundings at most, those of its own factors included in the 8.
  /// Taking out the means, of sums that are as long, rounds as much again, in so far as there is a drift to take
  /// out; so does putting the shift back in where centring is off.
  double sum_rounding(const column_frame& x, const column_frame& t, centering center) const {
    const double n = static_cast<double>(tokens_);
    const double chain = (std::min)(n, static_cast<double>(block_rows)) + static_cast<double>(additions_);
    const double times = (center == centering::columns ? 1.0 : 2.0) + 2.0 * (std::max)(x.drift(n), t.drift(n));
    return unit_roundoff * (times * chain + 8.0);
  }

  /// The columns of a frame, about their means or about 0. An energy that rounding is all there is of is 0.
  column_stats stats_of(const column_frame& frame, centering center) const {
    const double n = static_cast<double>(tokens_);
    const double rounding = sum_rounding(frame, frame, centering::columns);
    column_stats out{frame.scale, frame.energy, frame.energy + frame.moved, frame.shift, frame.sum / n};
    for (index j = 0; j < out.energy.size(); ++j) {
      out.energy[j] -= frame.sum[j] * out.drift[j];
      if (!(out.energy[j] > rounding * out.noise[j])) out.energy[j] = 0.0;
      if (center == centering::columns) continue;
      const double mean = frame.shift[j] + out.drift[j], offset = n * mean * mean;
      out.energy[j] += offset, out.noise[j] += offset;
    }
    if (center == centering::none) out.shift.setZero(), out.drift.setZero();
    return out;
  }

  /// Of a chain of one pair, which is used up.
  pair_moments finish(centering center) && {
    if (workspace space; pending_rows_ > 0) flush({}, space);
    const double n = static_cast<double>(tokens_);
    layer_state& input = layers_[0];
    const column_frame& x = input.frame;
    const column_frame& y = layers_[1].frame;
    pair_state& state = pairs_[0];
    const column_frame& t = target_frame(1);
    const auto mean = [n](const column_frame& frame) -> Eigen::VectorXd { return frame.shift + frame.sum / n; };

    pair_moments out;
    out.tokens = tokens_;
    out.centering = center;
    out.target = state.target_is_update ? regression_target::update : regression_target::output;
    out.x = stats_of(x, center);
    out.output = stats_of(y, center);
    out.x_mean = mean(x) / x.scale, out.y_mean = mean(y) / y.scale;
    out.y_spread = center == centering::columns ? out.output.energy : stats_of(y, centering::columns).energy;
    out.sum_rounding = sum_rounding(x, t, center);
    out.different_rows = input.different.count();

    if (!products_) return out;

    // About the shift -> about the mean -> about 0, if centring is off.
    out.second = std::move(input.second);
    out.cross = std::move(state.cross);
    const Eigen::VectorXd minus_drift = x.sum / -n;
    add_outer(minus_drift, x.sum, out.second, true);
    add_outer(minus_drift, t.sum, out.cross);
    if (center == centering::none) {
      add_outer(mean(x), n * mean(x), out.second, true);
      add_outer(mean(x), n * mean(t), out.cross);
    }
    out.second.diagonal() = out.x.energy;

    const auto total_of = [&](const column_stats& stats, const column_frame& frame) {
      const double energy = stats.energy.sum(), columns = static_cast<double>(stats.energy.size());
      const bool is_certain = stats.noise.sum() == 0.0 || energy > 0.0;
      if (!(energy > least_energy)) return total_energy{0.0, is_certain ? 0.0 : HUGE_VAL};
      const double rounding = sum_rounding(frame, frame, center) + unit_roundoff * columns;
      return total_energy{energy, 2.0 * rounding * stats.noise.sum() / energy};  // 2: what stats_of took for nothing
    };
    out.output_total = total_of(out.output, y);
    if (has_update(1)) {
      out.update = stats_of(state.update, center);
      out.update_total = total_of(out.update, state.update);
    }
    (state.target_is_update ? out.update : out.output).noise += state.converted;
    return out;
  }

  std::vector<layer_state> layers_;
  std::vector<pair_state> pairs_;
  bool products_ = true;
  index tokens_ = 0;        // those in the moments
  index additions_ = 0;     // of blocks, that an element of the moments has passed through one after the other
  index pending_rows_ = 0;  // those not yet
};

/// What accumulators hold, for the solver.
struct chain_access {
  template <class Moments>
  static const moment_chain& of(const Moments& moments) {
    return moments.chain_;
  }
};

}  // namespace detail

/// Sufficient statistics of a pair (X, Y) for linearity, residual_linearity and fit_linear_map, taken in
/// float64 about a provisional shift whatever the data's precision. Batches are added as they come and
/// accumulators of other threads, files or machines are merged: the data is never needed again, and memory is
/// O(d^2), independent of the tokens.
///
/// The result does not depend, to the last bit, on how rows were split into calls of add(), nor on the number
/// of threads; the order of merges changes it within the scores' error bound.
class cross_moments {
 public:
  /// Adds the rows of x (n_tokens x d_x) and y (n_tokens x d_y), those the mask keeps. The first call sets
  /// d_x and d_y.
  ///
  /// Throws shape_error if the numbers of rows differ, if the mask has another length or if d_x, d_y changed;
  /// degenerate_input_error for empty matrices; non_finite_error for NaN or infinity in a row that takes
  /// part. Nothing is added then. Cost: 3 n d^2 flops for d_x = d_y.
  template <embedding_matrix X, embedding_matrix Y>
  void add(const X& x, const Y& y, const token_mask& mask = {}) {
    const detail::row_reader x_rows(x);
    const detail::row_reader y_rows(y);
    detail::require_pair(x_rows, y_rows, detail::pair_names);
    const std::vector<index> tokens = mask.rows(x_rows.rows());
    add_rows(detail::pair_source(x_rows, y_rows, tokens, detail::pair_names), x_rows.cols(), y_rows.cols());
  }

  /// Adds everything another accumulator has seen. Throws shape_error if d_x or d_y differ.
  void merge(const cross_moments& other) {
    if (other.chain_.layers() == 0) return;
    if (chain_.layers() == 0) {
      *this = other;
      return;
    }
    for (index l = 0; l < 2; ++l)
      if (other.chain_.dimensions(l) != chain_.dimensions(l))
        detail::fail<shape_error>(detail::text("moments of ", chain_.dimensions(l), " dimensions"),
                                  detail::text(other.chain_.dimensions(l)), {.operand = l == 0 ? "X" : "Y"});
    if (&other == this)
      chain_.merge(detail::moment_chain(other.chain_));
    else
      chain_.merge(other.chain_);
  }

  /// The number of tokens added.
  index tokens() const { return chain_.tokens(); }
  /// d_x; 0 before the first call of add.
  index x_dimensions() const { return chain_.layers() == 0 ? 0 : chain_.dimensions(0); }
  /// d_y; 0 before the first call of add.
  index y_dimensions() const { return chain_.layers() == 0 ? 0 : chain_.dimensions(1); }

 private:
  friend struct detail::chain_access;

  void add_rows(const detail::row_source& rows, index d_x, index d_y) {
    const auto require_dimensions = [](index expected, index got, std::string_view name) {
      if (expected != got)
        detail::fail<shape_error>(detail::text(expected, " columns, as before"), detail::text(got), {.operand = name});
    };
    const bool first = chain_.layers() == 0;
    if (!first) {
      require_dimensions(x_dimensions(), d_x, "X");
      require_dimensions(y_dimensions(), d_y, "Y");
    }
    detail::moment_chain fresh = first ? detail::moment_chain({d_x, d_y}) : detail::moment_chain();
    (first ? fresh : chain_).add(rows, detail::zero_rows::allowed);
    if (first) chain_ = std::move(fresh);
  }

  detail::moment_chain chain_;
};

}  // namespace layerwise::inline LAYERWISE_ABI
