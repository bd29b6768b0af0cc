// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/kernel/parallel.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <utility>
#include <vector>

// How many different rows a layer has. A layer of token embeddings has few, and its rank is at most their number:
// then moments alone tell that the directions they do not see are not there.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Counts the different rows that pass by, up to a limit beyond which their number is of no use. Rows are told
/// apart by 128 bits of them: two different ones among a million count as one with a probability of 1e-27.
class distinct_rows {
 public:
  distinct_rows() = default;

  /// Numbers up to `limit` are of use.
  explicit distinct_rows(index limit) : limit_(limit) {}

  void add(const row_block& rows) {
    if (too_many_) return;
    std::vector<print> prints(static_cast<std::size_t>(rows.rows()));
    parallel_chunks(rows.rows(), 64, [&](index first, index count) {
      for (index i = first; i < first + count; ++i)
        prints[static_cast<std::size_t>(i)] = fingerprint(rows.data() + i * rows.cols(), rows.cols());
    });
    for (const print& one : prints) insert(one);
  }

  void merge(const distinct_rows& other) {
    if (other.too_many_) forget();
    if (too_many_) return;
    for (const auto& one : other.seen_) insert(one);
  }

  /// The number of different rows; the largest index there is, if it exceeds the limit.
  index count() const { return too_many_ ? (std::numeric_limits<index>::max)() : static_cast<index>(seen_.size()); }

 private:
  friend struct member_access;
  using print = std::pair<std::uint64_t, std::uint64_t>;

  static print fingerprint(const double* row, index d) {
    std::uint64_t a = 0x9e3779b97f4a7c15u, b = 0xc2b2ae3d27d4eb4fu;
    for (index j = 0; j < d; ++j) {
      const auto bits = std::bit_cast<std::uint64_t>(row[j] + 0.0);  // -0 and 0 are the same
      a = (a ^ bits) * 0xff51afd7ed558ccdu, a ^= a >> 32;
      b = (b ^ std::rotl(bits, 29)) * 0xc4ceb9fe1a85ec53u, b ^= b >> 29;
    }
    return {a, b};
  }

  void insert(const print& one) {
    if (too_many_) return;
    seen_.insert(one);
    if (static_cast<index>(seen_.size()) > limit_) forget();
  }

  void forget() { too_many_ = true, seen_.clear(); }

  index limit_ = 0;
  bool too_many_ = false;
  std::set<print> seen_;
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
