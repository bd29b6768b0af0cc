// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/metrics/detail/median_magnitude.hpp>
#include <layerwise/statistics/detail/accumulator.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

/// @file
/// The few activations of a layer that are much larger than all others, and where they are.
namespace layerwise::inline LAYERWISE_ABI {

/// What counts as massive, by default as arXiv 2402.17762 has it, and how many of the largest are listed.
struct massive_activations_options {
  index count = 3;               ///< how many are listed, >= 1
  double least = 100.0;          ///< |activation| of a massive one is above this, in the data's units; finite, >= 0
  double times_median = 1000.0;  ///< and at least this many times the median of |activation|; finite, >= 0
};

/// An element of a layer.
struct activation {
  double value = 0.0;  ///< with its sign
  index token = 0;     ///< row of X, counted from 0, among all rows whatever the mask
  index dimension = 0;
};

/// The fields of an activation.
template <>
inline constexpr auto fields<activation> = field_list(field{"value", &activation::value, "with its sign"},
                                                      field{"token", &activation::token, "row of X, among all rows"},
                                                      field{"dimension", &activation::dimension, "column of X"});

/// The massive activations of a layer. Every number is exact.
struct massive_activations_result {
  /// By |value|, descending, the massive ones first; of equal ones that of the smaller token, then dimension, first.
  std::vector<activation> largest;
  index massive = 0;     ///< how many are massive, listed or not
  double peak = 0.0;     ///< the largest |activation|
  double median = 0.0;   ///< of |activation|; of an even number the mean of the two in the middle
  index tokens = 0;      ///< that took part
  index dimensions = 0;  ///< d
};

/// The numbers of the massive activations; the list of the largest is not among them.
template <>
inline constexpr auto fields<massive_activations_result> =
    field_list(field{"massive", &massive_activations_result::massive, "number of massive activations"},
               field{"peak", &massive_activations_result::peak, "largest |activation|"},
               field{"median", &massive_activations_result::median, "median |activation|"},
               field{"tokens", &massive_activations_result::tokens, "that took part"},
               field{"dimensions", &massive_activations_result::dimensions, "columns of X"});

namespace detail {

inline void check(const massive_activations_options& options) {
  const place here{.operand = "massive_activations_options"};
  if (options.count < 1) fail<option_error>("a count >= 1", text(options.count), here);
  for (const double threshold : {options.least, options.times_median})
    if (!(threshold >= 0.0 && std::isfinite(threshold)))
      fail<option_error>("a finite threshold >= 0", text(threshold), here);
}

/// The largest elements of a part of a layer, by |value|, descending; of equal ones the first that came.
class largest_elements {
 public:
  explicit largest_elements(index count) : count_(static_cast<std::size_t>(count)) {}

  void add(const activation& one) {
    const double size = std::abs(one.value);
    if (kept_.size() == count_ && !(size > std::abs(kept_.back().value))) return;
    kept_.push_back(one);
    for (std::size_t k = kept_.size() - 1; k > 0 && size > std::abs(kept_[k - 1].value); --k)
      std::swap(kept_[k], kept_[k - 1]);
    if (kept_.size() > count_) kept_.pop_back();
  }

  const std::vector<activation>& kept() const { return kept_; }

 private:
  std::size_t count_;
  std::vector<activation> kept_;
};

/// The largest elements of all. Throws non_finite_error with the place.
template <class Walk>
std::vector<activation> find_largest(const Walk& walk, index count) {
  std::vector<largest_elements> of_parts(Walk::parts, largest_elements(count));
  walk.each_row([&](index part, index i, const double* row) {
    const index d = walk.dimensions();
    if (std::isnan(peak_of(row, d))) fail_non_finite(row, d, walk.rows().place_of(0, i));
    const index token = walk.rows().token(i);
    for (index j = 0; j < d; ++j) at(of_parts, part).add({row[j], token, j});
  });
  largest_elements all(count);
  for (const largest_elements& part : of_parts)
    for (const activation& one : part.kept()) all.add(one);
  return all.kept();
}

template <std::same_as<row_source> Source>
massive_activations_result massive_activations_of(const Source& rows, index d,
                                                  const massive_activations_options& options) {
  check(options);
  require_tokens(rows.size(), {.operand = "X"});
  const element_walk<Source> walk(rows, d);
  massive_activations_result out;
  out.tokens = rows.size(), out.dimensions = d;
  out.largest = find_largest(walk, (std::min)(options.count, walk.elements()));
  out.peak = std::abs(out.largest.front().value);
  out.median = median_magnitude(walk).find();
  const double bound = options.times_median * out.median;
  const auto is_massive = [&](double value) { return std::abs(value) > options.least && std::abs(value) >= bound; };
  if (!is_massive(out.largest.back().value)) {
    for (const activation& one : out.largest) out.massive += is_massive(one.value) ? 1 : 0;
    return out;
  }
  std::vector<index> of_parts(walk.parts);
  walk.each_row([&](index part, index, const double* row) {
    for (index j = 0; j < d; ++j) at(of_parts, part) += is_massive(row[j]) ? 1 : 0;
  });
  out.massive = std::accumulate(of_parts.begin(), of_parts.end(), index{0});
  return out;
}

}  // namespace detail

/// The largest |activations| of a layer with their tokens and dimensions, the median of all, and how many are massive
/// (Sun et al., arXiv 2402.17762): above 100, and at least 1000 times the median, unless the options say otherwise. They
/// are of a few tokens, often the first one, and dimensions, the same in most layers.
///
/// x: n_tokens x d, of any scalar type and layout; mask: the tokens that take part. What is listed and counted scales
/// with the data but for options.least, and changes under rotations. Throws option_error for options outside their
/// ranges, degenerate_input_error for an empty matrix or a mask that keeps nothing, non_finite_error for NaN and
/// infinity. Costs three to six passes, O(n d), and no copy of the data: the rows are read again.
template <embedding_matrix X>
massive_activations_result massive_activations(const X& x, const massive_activations_options& options = {},
                                               const token_mask& mask = {}) {
  const detail::row_reader rows(x);
  detail::require_not_empty(rows, {.operand = "X"});
  const std::vector<index> tokens = mask.rows(rows.rows());
  return detail::massive_activations_of(detail::layer_source(rows, tokens), rows.cols(), options);
}

}  // namespace layerwise::inline LAYERWISE_ABI
