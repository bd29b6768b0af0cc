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
#include <layerwise/kernel/lanes.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/row_sums.hpp>
#include <layerwise/metrics/detail/row_angle.hpp>
#include <layerwise/statistics/detail/accumulator.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

/// @file
/// Angular distances between all layers, and which layers can go.
namespace layerwise::inline LAYERWISE_ABI {

namespace detail {

/// Adds the angular distances of a token's rows at all pairs of layers to `sums`, one after the other: (0, 1), (0, 2),
/// ... (1, 2) ...
template <class Row>
void add_angles(const std::vector<Row>& rows, index d, double* sums) {
  for (std::size_t l = 0; l < rows.size(); ++l)
    for (std::size_t m = l + 1; m < rows.size(); ++m) *sums++ += measure_angle(rows[l], rows[m], d).angular_distance();
}

/// The sums over tokens of the angular distances of all pairs of layers, in the order of add_angles.
template <class Source>
std::vector<double> sum_angles(const Source& stack, index layers, index d) {
  // At most 256 parts, whose number and whose sums depend on the tokens alone.
  const index n = stack.size(), length = (std::max<index>)(64, (n + 255) / 256);
  const std::size_t pairs = static_cast<std::size_t>(layers * (layers - 1) / 2);
  std::vector<std::vector<double>> parts(static_cast<std::size_t>((n + length - 1) / length));
  parallel_chunks(n, length, [&](index first, index count) {
    const index stride = d + lanes;
    row_block rows(layers, stride);
    std::vector<measured_row> token(static_cast<std::size_t>(layers));
    std::vector<double> sums(pairs, 0.0);
    for (index i = first; i < first + count; ++i) {
      for (index l = 0; l < layers; ++l) {
        double* const row = rows.data() + l * stride;
        stack.read(l, i, row);
        at(token, l) = {row, sum_of_squares(row, d), stack.place_of(l, i)};
      }
      add_angles(token, d, sums.data());
    }
    at(parts, first / length) = std::move(sums);
  });
  std::vector<double> all(pairs, 0.0);
  for (const std::vector<double>& part : parts)
    for (std::size_t pair = 0; pair < pairs; ++pair) all[pair] += part[pair];
  return all;
}

}  // namespace detail

/// The angular distances of arXiv 2403.17887 between all layers: entry (l, m) is the mean over tokens of theta / pi,
/// theta the angle between the token's rows of h_l and of h_m.
///
/// states: h_0 ... h_L, n_tokens x d each; mask: the tokens that take part (the paper takes the last of each sequence,
/// token_mask::last_of_each). Returns an (L + 1) x (L + 1) matrix of values in [0, 1], symmetric, its diagonal 0: to
/// the last bit. Angles come by half angles, as those of angular_distance(), and so right near 0 and 1. Throws
/// shape_error for fewer than 2 layers, layers of unequal shapes, a mask of another length; degenerate_input_error for
/// empty matrices, no tokens, a row of zeros; non_finite_error for NaN or infinity, with layer, row and column. Costs
/// 3/2 d (L + 1)^2 flops a token, and memory for its rows of all layers.
template <hidden_states H>
Eigen::MatrixXd angular_distance_matrix(const H& states, const token_mask& mask = {}) {
  const auto readers = detail::open_layers(states);
  const std::vector<index> tokens = mask.rows(readers.front().rows());
  detail::require_tokens(static_cast<index>(tokens.size()), {.operand = "hidden_states"});
  const index layers = static_cast<index>(readers.size());
  const std::vector<double> sums =
      detail::sum_angles(detail::stack_source(readers, tokens), layers, readers.front().cols());
  Eigen::MatrixXd means = Eigen::MatrixXd::Zero(layers, layers);
  auto sum = sums.begin();
  for (index l = 0; l < layers; ++l)
    for (index m = l + 1; m < layers; ++m) means(l, m) = means(m, l) = *sum++ / static_cast<double>(tokens.size());
  return means;
}

/// Layers start + 1 ... start + layers, which take h_start to h_(start + layers): what a loop over modules counts from
/// 0 as start ... start + layers - 1.
struct layer_block {
  double distance = 0.0;  ///< mean angular distance of h_start and h_(start + layers), in [0, 1]
  index start = 0;        ///< l of the h_l that goes in
  index layers = 0;       ///< how many
};

/// The fields of a block.
template <>
inline constexpr auto fields<layer_block> = field_list(
    field{"distance", &layer_block::distance, "mean angular distance between what goes in and what comes out"},
    field{"start", &layer_block::start, "l of the h_l that goes in"},
    field{"layers", &layer_block::layers, "how many"});

/// The block of `layers` layers whose removal turns the tokens' vectors least (Gromov et al., arXiv 2403.17887, section
/// 3.1): l* = argmin over l = 0 ... L - layers of the distance of h_l and h_(l + layers); the first of equal ones.
///
/// distances: an angular_distance_matrix(). Throws shape_error for a matrix that is not square or smaller than 2 x 2,
/// and for `layers` outside 1 ... L; non_finite_error for NaN or infinity on that diagonal. Costs O(L).
inline layer_block best_block(const Eigen::MatrixXd& distances, index layers) {
  const place here{.operand = "best_block"};
  const index count = distances.rows();
  if (count < 2 || distances.cols() != count)
    detail::fail<shape_error>("a matrix of (L + 1) x (L + 1), L >= 1",
                              detail::text(detail::shape{count, distances.cols()}), here);
  if (layers < 1 || layers >= count)
    detail::fail<shape_error>(detail::text("1..", count - 1, " layers"), detail::text(layers), here);
  layer_block best{.distance = 0.0, .start = -1, .layers = layers};
  for (index l = 0; l + layers < count; ++l) {
    const double distance = distances(l, l + layers);
    if (!std::isfinite(distance))
      detail::fail<non_finite_error>("finite values", detail::text(distance),
                                     {.operand = "best_block", .row = l, .column = l + layers});
    if (best.start < 0 || distance < best.distance) best.distance = distance, best.start = l;
  }
  return best;
}

}  // namespace layerwise::inline LAYERWISE_ABI
