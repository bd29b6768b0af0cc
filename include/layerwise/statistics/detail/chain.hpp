// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/product.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/statistics/detail/chain_state.hpp>
#include <layerwise/statistics/detail/columns.hpp>
#include <layerwise/statistics/detail/energy_products.hpp>
#include <layerwise/statistics/detail/merge.hpp>
#include <layerwise/statistics/layer_pairs.hpp>
#include <layerwise/statistics/second_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

// The engine of all moments.
//
// Data flow. Rows (tokens) are read as double into blocks of block_rows tokens. A block is walked once from layer 0 to
// L with four of them in cache: the raw rows of the previous layer and of the current one, and, packed for the kernel,
// those of x and of the target. Each layer's columns are centred about a provisional shift (the mean of its first
// block, so that offsets cost no digits), and
//
//     second += x^T x      one symmetric update per layer, shared by all pairs it is in
//     cross  += x^T t      one product per pair
//
// is all the O(n d^2) work: 3 n d^2 flops per pair of neighbours. The target t is the update r = y - x or the output y,
// whichever is smaller (measured on the first block). Both regressions leave the same residual, since y = r + x, so one
// target gives both scores; the smaller one gives them without cancellation.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Whether a row of zeros, which has no direction, may be added.
enum class zero_rows { allowed, refused };

/// Sees a block of raw rows of the neighbours l - 1 and l. Empty: nobody looks.
using neighbour_observer =
    std::function<void(index l, const Eigen::Ref<const row_block>& x, const Eigen::Ref<const row_block>& y)>;

/// The moments of a chain of layers h_0 ... h_L and of pairs of them. Rows that do not fill a block wait in `pending_`,
/// so that the result does not depend, to the last bit, on how the rows were batched.
class moment_chain {
 public:
  moment_chain() = default;

  /// Without pairs, and x^T x of inputs only, nothing but the columns' sums is taken: O(n d) work and O(d) memory.
  moment_chain(const std::vector<index>& dimensions, const std::vector<layer_pair>& pairs, second_moments kept) {
    state_.keeps_energies = kept == second_moments::both;
    for (const index d : dimensions) {
      layer_state layer;
      layer.dimensions = d;
      layer.keeps_second = kept == second_moments::both;
      layer.different = distinct_rows(d + 1);
      state_.layers.push_back(std::move(layer));
    }
    state_.pairs.reserve(pairs.size());
    for (const std::size_t place : places_in_order(pairs)) {
      layer_state& input = state_.layer(pairs[place].from);
      input.keeps_second = input.is_input = true;
      pair_state added;
      added.layers = pairs[place];
      state_.pairs.push_back(std::move(added));
    }
    pending_.resize(dimensions.size());
  }

  index layers() const { return static_cast<index>(state_.layers.size()); }
  index dimensions(index layer) const { return state_.layer(layer).dimensions; }
  /// 0 of what was moved from, too.
  index tokens() const { return layers() == 0 ? 0 : state_.added.tokens + pending_rows_; }
  index pairs() const { return static_cast<index>(state_.pairs.size()); }
  bool started() const { return state_.added.tokens > 0; }
  bool has_pair(const layer_pair& pair) const { return state_.find(pair) != nullptr; }
  bool keeps_second(index layer) const { return state_.layer(layer).keeps_second; }

  /// Adds rows of all layers. Checks all of them before any is added, so that an exception leaves the moments as they
  /// were. Throws non_finite_error, and degenerate_input_error for a row of zeros where those are refused.
  /// observe(l, x, y) sees every block of raw rows of all neighbours, once.
  void add(const row_source& source, zero_rows zeros, const neighbour_observer& observe = {}) {
    const auto row_peaks = inspect(source, zeros);
    workspace space;
    for (index done = 0; done < source.size();) {
      const index count = (std::min)(block_rows - pending_rows_, source.size() - done);
      // Block by block, so that scales do not depend on how rows were batched either.
      for (index l = 0; l < layers(); ++l)
        for (index i = done; i < done + count; ++i) raise_peak(l, at(at(row_peaks, l), i));
      if (count == block_rows) {
        add_block({source, done, count}, observe, space);
      } else {
        append_pending({source, done, count});
        if (pending_rows_ == block_rows) flush(observe, space);
      }
      done += count;
    }
  }

  /// Adds what another chain of the same layers and pairs has seen. Exact algebra, whatever the two shifts are. Rows
  /// still pending in `other`, which must not be this one, are added as rows.
  void merge(const moment_chain& other, const neighbour_observer& observe = {}) {
    for (index l = 0; l < layers(); ++l) raise_peak(l, other.state_.layer(l).peak);
    if (other.state_.added.tokens > 0) {
      if (state_.added.tokens == 0)
        adopt(other.state_);
      else
        merge_blocks(state_, other.state_);
    }
    workspace space;
    const row_source rows = other.pending_source();
    for (index done = 0; done < rows.size();) {
      const index count = (std::min)(block_rows - pending_rows_, rows.size() - done);
      append_pending({rows, done, count});
      done += count;
      if (pending_rows_ == block_rows) flush(observe, space);
    }
  }

  /// Shows the rows that no block has shown yet.
  void observe_pending(const neighbour_observer& observe) const {
    for (index l = 1; pending_rows_ > 0 && l < layers(); ++l)
      observe(l, at(pending_, l - 1).topRows(pending_rows_), at(pending_, l).topRows(pending_rows_));
  }

  /// A layer, and a pair, as a chain of its own.
  moment_chain layer(index l) const { return {layer_of(state_, l), *this, {l}}; }
  moment_chain pair(const layer_pair& pair, second_moments wanted) const {
    return {copy_pair(state_, pair, wanted), *this, {pair.from, pair.to}};
  }
  /// A pair for the solver, once: see take_pair(). Several threads may take different pairs.
  moment_chain take(const layer_pair& pair) { return {take_pair(state_, pair), *this, {pair.from, pair.to}}; }

  /// What is kept, pending rows included.
  chain_state finished() && {
    if (workspace space; pending_rows_ > 0) flush({}, space);
    return std::move(state_);
  }

 private:
  /// Some rows of a source.
  struct rows_of {
    const row_source& source;
    index first, count;
  };

  moment_chain(chain_state state, const moment_chain& from, const std::vector<index>& layers)
      : state_(std::move(state)), pending_rows_(from.pending_rows_) {
    for (const index l : layers) pending_.push_back(at(from.pending_, l));
  }

  void raise_peak(index layer, double peak) {
    double& so_far = state_.layer(layer).peak;
    so_far = (std::max)(so_far, peak);
  }

  /// Checks all rows, and returns for each layer and row a bound on its elements' magnitude: at least the
  /// largest, at most d times that, 0 for a row of zeros.
  std::vector<std::vector<double>> inspect(const row_source& source, zero_rows zeros) const {
    std::vector<std::vector<double>> peaks(state_.layers.size(),
                                           std::vector<double>(static_cast<std::size_t>(source.size())));
    for (index l = 0; l < layers(); ++l) {
      std::vector<double>& row_peaks = at(peaks, l);
      parallel_chunks(source.size(), rows_at_once, [&](index first, index count) {
        const index d = dimensions(l), stride = (d + 7) / 8 * 8;  // aligned: one order of additions
        row_block some(count, stride);
        source.read(l, first, count, some.data(), stride);
        for (index i = 0; i < count; ++i)  // NaN or infinity if an element is
          at(row_peaks, first + i) = Eigen::VectorXd::MapAligned(&some(i, 0), d).lpNorm<1>();
      });
      for (index i = 0; i < source.size(); ++i) {
        double& peak = at(row_peaks, i);
        if (!std::isfinite(peak)) {
          Eigen::VectorXd row(dimensions(l));
          source.read(l, i, row.data());
          fail_non_finite(row.data(), row.size(), source.place_of(l, i));
          peak = peak_of(row.data(), row.size());  // finite elements of a sum that overflowed
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

  /// Rows of a layer to `to` and the rows of `block` after it.
  static void read_block(const rows_of& rows, index layer, row_block& block, index to = 0) {
    parallel_chunks(rows.count, rows_at_once, [&](index first, index count) {
      rows.source.read(layer, rows.first + first, count, &block(to + first, 0), block.cols());
    });
  }

  void append_pending(const rows_of& rows) {
    for (index l = 0; l < layers(); ++l) {
      row_block& pending = at(pending_, l);
      pending.resize(block_rows, dimensions(l));  // allocates once
      read_block(rows, l, pending, pending_rows_);
    }
    pending_rows_ += rows.count;
  }

  row_source pending_source() const {
    static const auto numbers = [] {
      std::array<index, block_rows> all;
      std::iota(all.begin(), all.end(), index{0});
      return all;
    }();
    return {[this](index layer, const index* rows, index count, double* out, index stride) {
              const row_block& pending = at(pending_, layer);
              for (index k = 0; k < count; ++k) std::copy_n(&pending(rows[k], 0), pending.cols(), out + k * stride);
            },
            std::span(numbers).first(static_cast<std::size_t>(pending_rows_)), [](index) { return place{}; }};
  }

  /// What add_block works in: the raw rows of the previous layer, of the current one, of another one, and packed those
  /// of x and of the target.
  struct workspace {
    row_block previous, current, other;
    packed_block x, target;
    std::vector<char> counted;              ///< the layers whose rows of this block are
    std::vector<Eigen::VectorXd> energies;  ///< of this block's rows about the shift, by layer; if they are kept
  };

  void flush(const neighbour_observer& observe, workspace& space) {
    const row_source rows = pending_source();
    add_block({rows, 0, pending_rows_}, observe, space);
    pending_rows_ = 0;
  }

  /// One walk through the layers.
  void add_block(const rows_of& rows, const neighbour_observer& observe, workspace& space) {
    choose_scales(state_);
    space.counted.assign(state_.layers.size(), 0);
    space.energies.resize(state_.layers.size());
    const auto read = [&](index l, row_block& block) {
      block.resize(rows.count, dimensions(l));
      read_block(rows, l, block);
    };
    auto next = state_.pairs.begin();
    for (index l = 0; l < layers(); ++l) {
      space.previous.swap(space.current);
      read(l, space.current);
      start(l, space.current);
      if (state_.keeps_energies) count_energies(l, space.current, space);
      if (observe && l > 0) observe(l, space.previous, space.current);
      for (; next != state_.pairs.end() && (std::max)(next->layers.from, next->layers.to) == l; ++next) {
        pair_state& pair = *next;
        const index earlier = (std::min)(pair.layers.from, pair.layers.to);
        if (earlier != l - 1) read(earlier, space.other);
        const row_block& before = earlier == l - 1 ? space.previous : space.other;
        if (pair.layers.to == l)
          add_pair(pair, before, space.current, space);
        else
          add_pair(pair, space.current, before, space);
      }
      if (!state_.layer(l).is_input) count(l, space);
    }
    state_.added.tokens += rows.count;
    ++state_.added.additions;
  }

  void start(index layer, const row_block& raw) {
    column_frame& frame = state_.layer(layer).frame;
    if (!frame.started())
      frame.start(raw.rows(), raw.cols(), [&](index i, index j) { return raw(i, j) * frame.scale; });
  }

  /// Rows of a layer, with themselves.
  void count_energies(index l, const row_block& raw, workspace& space) {
    layer_state& layer = state_.layer(l);
    const energy_frame frame(layer.frame, layer.energy_scale);
    Eigen::VectorXd& energies = at(space.energies, l);
    energies = frame.energies(raw);
    const double both = squared_norm(energies);
    layer.energies.both += both;
    layer.energies.noise += both;
    frame.add_weighted(raw, energies, layer.energies.of_x);
  }

  /// Raw rows of both layers.
  void count_energies(pair_state& pair, const row_block& raw_x, const row_block& raw_y, const workspace& space) {
    const layer_state& x = state_.input(pair);
    const layer_state& y = state_.output(pair);
    const Eigen::VectorXd& alpha = at(space.energies, pair.layers.from);
    const Eigen::VectorXd& beta = at(space.energies, pair.layers.to);
    const double both = dot(alpha.data(), beta.data(), alpha.size());
    pair.energies.both += both;
    pair.energies.noise += both;
    energy_frame(x.frame, x.energy_scale).add_weighted(raw_x, beta, pair.energies.of_x);
    energy_frame(y.frame, y.energy_scale).add_weighted(raw_y, alpha, pair.energies.of_y);
  }

  /// The current layer, which is no pair's x.
  void count(index l, workspace& space) {
    layer_state& layer = state_.layer(l);
    if (!layer.keeps_second) return layer.frame.count(layer_rows{space.current});
    std::vector<product> products;
    absorb(l, space.current, space, products);
    add_products(1.0, std::move(products));
  }

  /// Packs rows of a layer in space.x. The first time in a block they are counted, and x^T x is to be added.
  void absorb(index l, const row_block& raw, workspace& space, std::vector<product>& products) {
    layer_state& layer = state_.layer(l);
    if (at(space.counted, l)) return layer.frame.apply(layer_rows{raw}, space.x);
    at(space.counted, l) = 1;
    layer.frame.absorb(layer_rows{raw}, space.x);
    layer.different.add(raw);
    if (layer.second.size() == 0) layer.second.setZero(raw.cols(), raw.cols());
    products.push_back({space.x, space.x, layer.second, true});
  }

  /// Raw rows of both layers.
  void add_pair(pair_state& pair, const row_block& raw_x, const row_block& raw_y, workspace& space) {
    const column_frame& output = state_.output(pair).frame;
    if (state_.has_update(pair)) {
      const bool first = !pair.update.started();
      const double scale = pair.update.scale;
      if (first)
        pair.update.start(raw_y.rows(), raw_y.cols(),
                          [&](index i, index j) { return raw_y(i, j) * scale - raw_x(i, j) * scale; });
      pair.update.absorb(update_rows{raw_x, raw_y}, space.target);
      if (first) pair.target_is_update = is_smaller(pair.update, output, raw_y);
    }
    if (!pair.target_is_update) output.apply(layer_rows{raw_y}, space.target);

    if (state_.keeps_energies) count_energies(pair, raw_x, raw_y, space);

    std::vector<product> products;
    absorb(pair.layers.from, raw_x, space, products);
    if (pair.cross.size() == 0) {
      pair.cross.setZero(space.x.cols(), space.target.cols());
      pair.moved.setZero(space.target.cols());
    }
    products.push_back({space.x, space.target, pair.cross});
    add_products(1.0, std::move(products));
  }

  /// On the first block both frames' shifts are its means: is the update's energy at most the output's?
  static bool is_smaller(const column_frame& update, column_frame output, const row_block& raw_output) {
    output.clear_sums();
    output.count(layer_rows{raw_output});
    const double ratio = output.scale / update.scale;
    return update.energy.sum() * ratio * ratio <= output.energy.sum();
  }

  /// For a chain without blocks: its peaks, which are of both by now, and its rows stay.
  void adopt(const chain_state& other) {
    std::vector<double> peaks;
    for (const layer_state& layer : state_.layers) peaks.push_back(layer.peak);
    state_ = other;
    for (std::size_t l = 0; l < peaks.size(); ++l) state_.layers[l].peak = peaks[l];
  }

  friend struct member_access;

  chain_state state_;
  std::vector<row_block> pending_;  // block_rows raw rows a layer, of which pending_rows_ wait for the block to fill
  index pending_rows_ = 0;
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
