// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/normalized.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/metrics/detail/nearest_two.hpp>
#include <layerwise/metrics/mean_pairwise_cosine.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/layer_moments.hpp>
#include <layerwise/statistics/scatter.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <concepts>
#include <vector>

/// @file
/// The cosines of all pairs of rows, sorted: how embeddings are spread over directions.
namespace layerwise::inline LAYERWISE_ABI {

/// What may be chosen of pairwise cosines.
struct pairwise_cosines_options {
  /// At most this many rows are looked at: one of each of as many equal parts of them, at places that depend on the
  /// numbers alone. At least 2, or an option_error. s rows have s (s - 1) / 2 pairs: 16 MiB of 2048.
  index sample = 2048;
};

/// The cosines of pairs of rows.
struct pairwise_cosines_result {
  Eigen::VectorXd cosines;   ///< ascending, of the pairs of the rows sampled: each to (d + 20) 1.1e-16
  double mean = 0.0;         ///< of all pairs of rows, sampled or not
  double error_bound = 0.0;  ///< |mean - that of the given data, exactly| is at most this
  index tokens = 0;          ///< rows that took part
  index sampled = 0;         ///< of them, whose pairs were looked at
  index dimensions = 0;      ///< d
};

/// The numbers of pairwise cosines; the cosines themselves, which are many, are not among them.
template <>
inline constexpr auto fields<pairwise_cosines_result> =
    field_list(field{"mean", &pairwise_cosines_result::mean, "mean cosine of all pairs of rows"},
               field{"error_bound", &pairwise_cosines_result::error_bound, "how far rounding can have moved the mean"},
               field{"tokens", &pairwise_cosines_result::tokens, "rows that took part"},
               field{"sampled", &pairwise_cosines_result::sampled, "of them, whose pairs were looked at"},
               field{"dimensions", &pairwise_cosines_result::dimensions, "columns of X"});

namespace detail {

/// The rows chosen, each of length 1.
template <std::same_as<row_source> Source>
row_block unit_rows(const Source& rows, const std::vector<index>& chosen, index d) {
  row_block out(static_cast<index>(chosen.size()), d);
  parallel_chunks(out.rows(), 16, [&](index first, index count) {
    for (index i = first; i < first + count; ++i) {
      rows.read(0, at(chosen, i), &out(i, 0));
      make_unit(&out(i, 0), d, rows.place_of(0, at(chosen, i)));
    }
  });
  return out;
}

/// Row by row of the lower triangle, then sorted.
template <std::same_as<row_block> Block>
Eigen::VectorXd sorted_cosines(const Block& unit) {
  const index n = unit.rows(), d = unit.cols();
  constexpr index together = 16;  // rows that stay in the cache while the others pass by
  Eigen::VectorXd out(n * (n - 1) / 2);
  parallel_chunks(n, together, [&](index first, index count) {
    for (index j = 0; j < first + count; ++j)
      for (index i = (std::max)(first, j + 1); i < first + count; ++i)
        out[i * (i - 1) / 2 + j] = std::clamp(dot(&unit(i, 0), &unit(j, 0), d), -1.0, 1.0);
  });
  std::sort(out.data(), out.data() + out.size());
  return out;
}

}  // namespace detail

/// cos(x_i, x_j) of all pairs i < j of rows, ascending: those of embeddings are the right panel of nGPT's figure 4 (arXiv
/// 2410.01131), whose rows have length 1, so that dot products are cosines. Of n > options.sample rows (2048) a sample is
/// looked at, and the result says of how many; the mean is exact, of all: mean_pairwise_cosine().
///
/// x: n x d, of any scalar type and layout; mask: the rows that take part. Does not change under a rotation, nor with the
/// lengths of the rows. Throws option_error; degenerate_input_error for fewer than two rows and, with the row, for a row
/// of zeros; non_finite_error for NaN and infinity. Costs O(n d) and s^2 d flops for a sample of s rows; memory of
/// s d + s (s - 1) / 2 doubles.
template <embedding_matrix X>
pairwise_cosines_result pairwise_cosines(const X& x, const pairwise_cosines_options& options = {},
                                         const token_mask& mask = {}) {
  if (options.sample < 2)
    detail::fail<option_error>("a sample of at least 2 rows", detail::text(options.sample),
                               {.operand = "pairwise_cosines_options"});
  const pairwise_cosine_result all = pairwise_cosine_contributions(x, mask);
  const detail::row_reader reader(x);
  const std::vector<index> tokens = mask.rows(reader.rows());
  pairwise_cosines_result out;
  out.mean = all.mean, out.error_bound = all.error_bound;
  out.tokens = all.tokens, out.dimensions = all.dimensions;
  out.sampled = (std::min)(options.sample, out.tokens);
  const std::vector<index> chosen = detail::spread_out(out.tokens, out.sampled);
  out.cosines = detail::sorted_cosines(detail::unit_rows(detail::layer_source(reader, tokens), chosen, reader.cols()));
  return out;
}

/// The mean of cos(x_i, x_j)^2 over all pairs of different rows, no sample: with U the rows of length 1,
///
///     (||U^T U||_F^2 - n) / (n (n - 1))
///
/// In [0, 1]; near 1 / d for directions without preference. Less the square of mean_pairwise_cosine() it is the variance of the
/// dots. Throws as that. Costs n d^2 flops and memory of O(d^2).
template <embedding_matrix X>
double mean_squared_cosine(const X& x, const token_mask& mask = {}) {
  layer_moments moments;
  moments.add(unit_normalized(x), mask);
  const scatter about_zero = moments.scatter(centering::none);
  const double n = static_cast<double>(about_zero.tokens);
  if (n < 2.0) detail::fail<degenerate_input_error>("at least two tokens", "1", {.operand = "X"});
  const double energy = detail::scaled_energy(about_zero.xx, 1.0 / (about_zero.x_scale * about_zero.x_scale));
  return std::clamp((energy - n) / (n * (n - 1.0)), 0.0, 1.0);
}

}  // namespace layerwise::inline LAYERWISE_ABI
