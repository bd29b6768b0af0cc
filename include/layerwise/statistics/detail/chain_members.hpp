// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/statistics/detail/chain.hpp>
#include <layerwise/statistics/detail/chain_state.hpp>
#include <layerwise/statistics/detail/columns.hpp>
#include <layerwise/statistics/detail/distinct_rows.hpp>
#include <layerwise/statistics/detail/energy_products.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

// All that a moment_chain keeps, for an archive (core/detail/byte_archive.hpp): to be written, or read into. A member that
// is added to one of these structs is added here, and changes the version of what is written (profile/profiler_bytes.hpp).
namespace layerwise::inline LAYERWISE_ABI::detail {

template <class T, class Struct>
concept members_of = std::same_as<std::remove_const_t<T>, Struct>;

template <class Archive, members_of<column_frame> T>
void visit_members(Archive& archive, T& frame) {
  archive(frame.scale, frame.shift, frame.sum, frame.energy, frame.moved);
}

template <class Archive, members_of<energy_products> T>
void visit_members(Archive& archive, T& energies) {
  archive(energies.both, energies.noise, energies.of_x, energies.of_y);
}

template <class Archive, members_of<summation> T>
void visit_members(Archive& archive, T& sum) {
  archive(sum.tokens, sum.additions);
}

/// Throws as archives do for what no chain keeps: sums of other sizes than those of its layers, pairs of layers that
/// there are not.
template <class Archive>
void require_whole(const Archive& archive, const chain_state& chain) {
  const auto require = [&](bool holds, index l) {
    archive.require(holds, "sums of one chain", text("others, layer ", l));
  };
  const index layers = static_cast<index>(chain.layers.size());
  const bool started = chain.added.tokens > 0;
  require(chain.added.tokens >= 0 && chain.added.additions >= 0, 0);
  const auto is_frame = [&](const column_frame& frame, index d) {
    return frame.shift.size() == d && frame.sum.size() == d && frame.energy.size() == d && frame.moved.size() == d;
  };
  const auto is_matrix = [&](const matrix& sums, index rows, index cols) {
    return sums.rows() == rows && sums.cols() == cols;
  };
  for (index l = 0; l < layers; ++l) {
    const layer_state& layer = chain.layer(l);
    const index d = layer.dimensions, summed = started ? d : 0, multiplied = layer.keeps_second ? summed : 0;
    require(d >= 1 && is_frame(layer.frame, summed) && is_matrix(layer.second, multiplied, multiplied), l);
    require(!(started && layer.is_input) || (layer.keeps_second && layer.different.count() >= 1), l);
    require(layer.energies.of_x.size() == (chain.keeps_energies ? summed : 0), l);
    require(layer.energies.of_y.size() == 0 || layer.energies.of_y.size() == d, l);
  }
  for (std::size_t p = 0; p < chain.pairs.size(); ++p) {
    const pair_state& pair = chain.pairs[p];
    const auto [from, to] = pair.layers;
    require(from >= 0 && from < layers && to >= 0 && to < layers && from != to, from);
    require(p == 0 || is_before(chain.pairs[p - 1].layers, pair.layers), from);
    const index x = started ? chain.input(pair).dimensions : 0, y = started ? chain.output(pair).dimensions : 0;
    require(chain.input(pair).is_input && is_frame(pair.update, chain.has_update(pair) ? y : 0), to);
    require(is_matrix(pair.cross, x, y) && pair.moved.size() == y, to);
    require(chain.has_update(pair) || !pair.target_is_update, to);
    require(pair.energies.of_x.size() == (chain.keeps_energies ? x : 0), to);
    require(pair.energies.of_y.size() == (chain.keeps_energies ? y : 0), to);
  }
}

/// What two of the classes keep to themselves.
struct member_access {
  template <class Archive, class T>
  static void visit_rows(Archive& archive, T& rows) {
    archive(rows.limit_, rows.too_many_);
    if constexpr (std::is_const_v<T>) {
      archive(static_cast<index>(rows.seen_.size()));
      for (const auto& [a, b] : rows.seen_) archive(a, b);
    } else {
      rows.seen_.clear();
      for (index left = archive.count(sizeof(distinct_rows::print)); left > 0; --left) {
        distinct_rows::print one;
        archive(one.first, one.second);
        rows.seen_.insert(rows.seen_.end(), one);  // ascending, as they were written
      }
    }
  }

  /// Of pending rows those that wait: the others are not looked at.
  template <class Archive, class T>
  static void visit_chain(Archive& archive, T& chain) {
    archive(chain.state_, chain.pending_rows_);
    if constexpr (!std::is_const_v<T>) {
      require_whole(archive, chain.state_);
      archive.require(chain.pending_rows_ >= 0 && chain.pending_rows_ < block_rows, "rows that wait for their block",
                      text(chain.pending_rows_));
      chain.pending_.resize(chain.state_.layers.size());
    }
    for (index l = 0; chain.pending_rows_ > 0 && l < chain.layers(); ++l) {
      auto& pending = at(chain.pending_, l);
      if constexpr (std::is_const_v<T>) {
        archive(row_block(pending.topRows(chain.pending_rows_)));
      } else {
        row_block waiting;
        archive(waiting);
        archive.require(waiting.rows() == chain.pending_rows_ && waiting.cols() == chain.dimensions(l),
                        text("rows of layer ", l, " that wait for their block"),
                        text(shape{waiting.rows(), waiting.cols()}));
        pending.resize(block_rows, chain.dimensions(l));
        pending.topRows(waiting.rows()) = waiting;
      }
    }
  }
};

template <class Archive, members_of<distinct_rows> T>
void visit_members(Archive& archive, T& rows) {
  member_access::visit_rows(archive, rows);
}

template <class Archive, members_of<layer_state> T>
void visit_members(Archive& archive, T& layer) {
  archive(layer.dimensions, layer.keeps_second, layer.is_input, layer.frame, layer.second, layer.peak, layer.different,
          layer.energy_scale, layer.energies);
}

template <class Archive, members_of<pair_state> T>
void visit_members(Archive& archive, T& pair) {
  archive(pair.layers.from, pair.layers.to, pair.update, pair.cross, pair.target_is_update, pair.moved, pair.energies);
}

template <class Archive, members_of<chain_state> T>
void visit_members(Archive& archive, T& chain) {
  archive(chain.layers, chain.pairs, chain.added, chain.keeps_energies);
}

template <class Archive, members_of<moment_chain> T>
void visit_members(Archive& archive, T& chain) {
  member_access::visit_chain(archive, chain);
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
