// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// @file
/// Which tokens take part.
namespace layerwise::inline LAYERWISE_ABI {

/// Where sequences that are shorter than a batch's longest have their padding.
enum class padding_side {
  right,  ///< after the sequence, as models are trained
  left,   ///< before it, as they generate
};

/// Which tokens (rows) take part. The default mask keeps every token of a matrix of any length.
///
/// Hidden states of the first token of a sequence are often orders of magnitude larger than all others (an
/// attention sink), and padding rows mean nothing: both belong outside the statistics. Masks of the same
/// length combine with &.
class token_mask {
 public:
  /// Keeps every token of a matrix of any length.
  token_mask() = default;

  /// keep[t] says whether token t takes part.
  explicit token_mask(std::vector<bool> keep) : keep_(std::move(keep)), everything_(false) {}

  /// Leaves out the first `count` tokens of each sequence; the n_tokens rows are sequences of sequence_length
  /// tokens one after the other (the last one may be shorter). Throws shape_error unless n_tokens >= 0,
  /// sequence_length >= 1 and count >= 0.
  static token_mask skip_first(index n_tokens, index sequence_length, index count = 1) {
    require(n_tokens >= 0 && sequence_length >= 1 && count >= 0, "n_tokens >= 0, sequence_length >= 1, count >= 0",
            detail::text(n_tokens, ", ", sequence_length, ", ", count), "skip_first");
    return generate(n_tokens, [&](index token) { return token % sequence_length >= count; });
  }

  /// Keeps only the last token of each sequence, as arXiv 2403.17887 does for its angular distances. Throws shape_error
  /// unless n_tokens >= 0 and sequence_length >= 1.
  static token_mask last_of_each(index n_tokens, index sequence_length) {
    require(n_tokens >= 0 && sequence_length >= 1, "n_tokens >= 0, sequence_length >= 1",
            detail::text(n_tokens, ", ", sequence_length), "last_of_each");
    return generate(
        n_tokens, [&](index token) { return token % sequence_length == sequence_length - 1 || token == n_tokens - 1; });
  }

  /// Padded sequences: of the padded_length rows of sequence s keeps the lengths[s] that the padding is beside. Throws
  /// shape_error unless padded_length >= 0 and 0 <= lengths[s] <= padded_length.
  static token_mask padding(std::span<const index> lengths, index padded_length,
                            padding_side side = padding_side::right) {
    require(padded_length >= 0, "padded_length >= 0", detail::text(padded_length), "padding");
    for (std::size_t s = 0; s < lengths.size(); ++s)
      require(lengths[s] >= 0 && lengths[s] <= padded_length, detail::text("a length in 0..", padded_length),
              detail::text(lengths[s], " for sequence ", s), "padding");
    return generate(static_cast<index>(lengths.size()) * padded_length, [&](index token) {
      const index place = token % padded_length, length = detail::at(lengths, token / padded_length);
      return side == padding_side::right ? place < length : place >= padded_length - length;
    });
  }

  /// True for the default mask, which fits a matrix of any length.
  bool all() const { return everything_; }
  /// The number of tokens the mask was made for; 0 for the default mask.
  index size() const { return static_cast<index>(keep_.size()); }
  /// Whether the token takes part; `token` is not checked.
  bool keeps(index token) const { return everything_ || keep_[static_cast<std::size_t>(token)]; }

  /// Keeps what both keep. Throws shape_error if the lengths differ.
  token_mask operator&(const token_mask& other) const {
    if (everything_) return other;
    if (other.everything_) return *this;
    require(size() == other.size(), detail::text("masks of equal length (", size(), ")"), detail::text(other.size()),
            "token_mask");
    return generate(size(), [&](index token) { return keeps(token) && other.keeps(token); });
  }

  /// The kept rows of a matrix of n_tokens rows, ascending. Throws shape_error if the mask has another
  /// length.
  std::vector<index> rows(index n_tokens) const {
    require(everything_ || size() == n_tokens, detail::text("a mask of ", n_tokens, " tokens"), detail::text(size()),
            "token_mask");
    std::vector<index> kept;
    kept.reserve(static_cast<std::size_t>(n_tokens));
    for (index token = 0; token < n_tokens; ++token)
      if (keeps(token)) kept.push_back(token);
    return kept;
  }

 private:
  static void require(bool holds, const std::string& expected, const std::string& got, std::string_view where) {
    if (!holds) detail::fail<shape_error>(expected, got, {.operand = where});
  }

  template <class Predicate>
  static token_mask generate(index n_tokens, const Predicate& keep) {
    std::vector<bool> kept(static_cast<std::size_t>(n_tokens));
    for (index token = 0; token < n_tokens; ++token) kept[static_cast<std::size_t>(token)] = keep(token);
    return token_mask(std::move(kept));
  }

  std::vector<bool> keep_;
  bool everything_ = true;
};

}  // namespace layerwise::inline LAYERWISE_ABI
