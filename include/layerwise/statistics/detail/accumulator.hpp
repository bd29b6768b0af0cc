// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/statistics/detail/chain.hpp>

#include <string>
#include <utility>
#include <vector>

namespace layerwise::inline LAYERWISE_ABI::detail {

/// What layer_moments, cross_moments and stack_moments share: a chain whose sizes the first batch sets, all or nothing.
class accumulator {
 public:
  const moment_chain& chain() const { return chain_; }
  moment_chain& chain() { return chain_; }
  bool empty() const { return chain_.layers() == 0; }

  /// make(dimensions) gives the chain that the first batch starts. Rows of other dimensions than the first batch's are
  /// for the caller to refuse.
  template <class Make>
  void add(const row_source& rows, const std::vector<index>& dimensions, zero_rows zeros, const Make& make,
           const neighbour_observer& observe = {}) {
    if (!empty()) return chain_.add(rows, zeros, observe);
    moment_chain fresh = make(dimensions);
    fresh.add(rows, zeros, observe);
    chain_ = std::move(fresh);
  }

  /// Sizes are for the caller to compare. observe sees the blocks that rows of both fill.
  void merge(const accumulator& other, const neighbour_observer& observe = {}) {
    if (other.empty()) return;
    if (empty())
      chain_ = other.chain_;
    else if (&other == this)
      chain_.merge(moment_chain(other.chain_), observe);
    else
      chain_.merge(other.chain_, observe);
  }

 private:
  moment_chain chain_;
};

/// Throws shape_error unless a batch, or another accumulator, has the columns that were added before.
inline void require_columns(index expected, index got, const place& at) {
  if (expected != got) fail<shape_error>(text(expected, " columns, as before"), text(got), at);
}

/// Throws degenerate_input_error for none.
inline void require_tokens(index tokens, const place& at) {
  if (tokens == 0) fail<degenerate_input_error>("at least one token", "none", at);
}

/// Throws option_error unless both keep the same sums.
inline void require_same_sums(second_moments mine, second_moments theirs, const place& at) {
  const auto kind = [](second_moments kept) {
    return kept == second_moments::both ? "moments of both" : "moments of the input";
  };
  if (mine != theirs) fail<option_error>(kind(mine), kind(theirs), at);
}

/// What accumulators keep to themselves, for the library: their sums for the solver, sums for accumulators of layers and
/// pairs, and rows that are observed while they are added.
struct chain_access {
  template <class Moments>
  static const moment_chain& of(const Moments& moments) {
    return moments.sums_.chain();
  }
  /// To be written as bytes, or read into.
  template <class Moments>
  static auto& sums_of(Moments& moments) {
    return moments.sums_.chain();
  }
  template <class Moments>
  static Moments filled(Moments moments, moment_chain chain) {
    moments.sums_.chain() = std::move(chain);
    return moments;
  }
  template <class Moments>
  static void add(Moments& moments, const row_source& rows, index layers, index d, zero_rows zeros,
                  const neighbour_observer& observe) {
    moments.add_rows(rows, layers, d, zeros, observe);
  }
  template <class Moments>
  static void merge(Moments& moments, const Moments& other, const neighbour_observer& observe) {
    moments.merge(other, observe);
  }
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
