// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/kernel/parallel.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

// Walks over all elements of a layer, and the median of their magnitudes, without keeping them: templates, which cost
// nothing where they are not called.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// The rows of a layer in a fixed number of parts, each walked by one thread: what parts find does not depend on the
/// threads.
template <std::same_as<row_source> Source>
class element_walk {
 public:
  element_walk(const Source& rows, index d) : rows_(rows), d_(d) {}

  static constexpr index parts = 16;

  index elements() const { return rows_.size() * d_; }
  index dimensions() const { return d_; }
  const Source& rows() const { return rows_; }

  /// visit(part, i, row) for every row i, d doubles; the rows of a part in order, those of part p before those of p + 1.
  template <class Visit>
  void each_row(const Visit& visit) const {
    const index n = rows_.size(), length = (n + parts - 1) / parts;
    parallel_for(parts, [&](index part) {
      constexpr index some = 16;
      row_block block(some, d_);
      const index end = (std::min)(n, (part + 1) * length);
      for (index i = part * length; i < end; i += some) {
        const index count = (std::min)(some, end - i);
        rows_.read(0, i, count, block.data(), d_);
        for (index k = 0; k < count; ++k) visit(part, i + k, block.data() + k * d_);
      }
    });
  }

 private:
  const Source& rows_;
  index d_;
};

/// The median of |x| over all elements, exactly, of finite ones: that of two in the middle is their mean. The bits of
/// magnitudes are in their order, so that counts of the upper 16 tell which 16 the median has; then those of the next
/// 16. Elements are kept once few are left. Two to five walks.
template <class Walk>
class median_magnitude {
 public:
  explicit median_magnitude(const Walk& walk)
      : walk_(walk), lower_((walk.elements() - 1) / 2), upper_(walk.elements() / 2) {}

  /// Up to `few` elements are kept.
  double find(index few = 65536) {
    for (const int shift : {47, 31, 15, 0}) {
      const std::vector<index> counts = count(shift);
      index below = 0;
      std::uint64_t digit = 0;
      while (below + at(counts, static_cast<index>(digit)) <= lower_) below += at(counts, static_cast<index>(digit++));
      const index inside = at(counts, static_cast<index>(digit));
      const std::uint64_t prefix = (prefix_ << (shift_ - shift)) + digit;
      if (below + inside <= upper_) return between((prefix + 1) << shift);
      lower_ -= below, upper_ -= below, prefix_ = prefix, shift_ = shift;
      if (inside <= few && shift > 0) return among(inside);
    }
    return std::bit_cast<double>(prefix_);
  }

 private:
  static std::uint64_t bits(double x) { return std::bit_cast<std::uint64_t>(std::abs(x)); }

  template <class Visit>
  void each_candidate(const Visit& visit) const {
    walk_.each_row([&](index part, index, const double* row) {
      for (index j = 0; j < walk_.dimensions(); ++j)
        if (const std::uint64_t magnitude = bits(row[j]); magnitude >> shift_ == prefix_) visit(part, magnitude);
    });
  }

  /// How many candidates have each value of the next digit, down to bit `shift`.
  std::vector<index> count(int shift) const {
    const std::uint64_t mask = (std::uint64_t{1} << (shift_ - shift)) - 1;
    std::vector<std::vector<index>> found(Walk::parts, std::vector<index>(static_cast<std::size_t>(mask) + 1));
    each_candidate([&](index part, std::uint64_t magnitude) { ++at(found, part)[(magnitude >> shift) & mask]; });
    for (std::size_t part = 1; part < found.size(); ++part)
      for (std::size_t digit = 0; digit <= mask; ++digit) found[0][digit] += found[part][digit];
    return found[0];
  }

  /// The mean of the largest magnitude below the boundary and the smallest other one.
  double between(std::uint64_t boundary) const {
    std::vector<std::uint64_t> lower(Walk::parts, 0), upper(Walk::parts, ~std::uint64_t{0});
    walk_.each_row([&](index part, index, const double* row) {
      for (index j = 0; j < walk_.dimensions(); ++j) {
        const std::uint64_t magnitude = bits(row[j]);
        if (magnitude < boundary)
          at(lower, part) = (std::max)(at(lower, part), magnitude);
        else
          at(upper, part) = (std::min)(at(upper, part), magnitude);
      }
    });
    return std::midpoint(std::bit_cast<double>(*std::max_element(lower.begin(), lower.end())),
                         std::bit_cast<double>(*std::min_element(upper.begin(), upper.end())));
  }

  /// Of the candidates, which are few.
  double among(index few) const {
    std::vector<std::vector<double>> found(Walk::parts);
    each_candidate(
        [&](index part, std::uint64_t magnitude) { at(found, part).push_back(std::bit_cast<double>(magnitude)); });
    std::vector<double> all;
    all.reserve(static_cast<std::size_t>(few));
    for (const std::vector<double>& part : found) all.insert(all.end(), part.begin(), part.end());
    std::sort(all.begin(), all.end());
    return std::midpoint(at(all, lower_), at(all, upper_));
  }

  const Walk& walk_;
  index lower_, upper_;       ///< the ranks in the middle, among the candidates
  std::uint64_t prefix_ = 0;  ///< the upper bits of the candidates,
  int shift_ = 63;            ///< down to this one
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
