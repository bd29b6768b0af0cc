// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/row_sums.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/statistics/detail/columns.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

// Sums over tokens of products of rows' energies, a = ||x||^2 times b = ||y||^2: what metrics of n x n matrices of
// products or distances (debiased CKA, RSA) need beside second moments, for O(n d) work and O(d) memory. Taken about the
// provisional shifts, as second moments are; what takes the shifts out is exact algebra.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// The power of two that brings the largest element of a layer, `peak`, to 1..2, so that fourth powers do not overflow,
/// nor vanish but beside an offset 1e67 times as large; 0 for a layer of zeros.
inline double energy_scale(double peak) {
  return peak == 0.0 ? 0.0 : std::ldexp(1.0, -std::clamp(std::ilogb(peak), -1000, 1000));
}

/// Of frames x and y (or of x and x), of rows xi = x - shift and eta = y - shift in units of their energy scales, with
/// alpha = ||xi||^2 and beta = ||eta||^2.
struct energy_products {
  double both = 0.0;     ///< sum alpha beta
  double noise = 0.0;    ///< at least what took part in it: rounding is relative to that
  Eigen::VectorXd of_x;  ///< sum beta xi; empty before the first block
  Eigen::VectorXd of_y;  ///< sum alpha eta

  /// Changes the energy scales by powers of two, from what was 0 by anything.
  void rescale(double x, double y) {
    if (both == 0.0 && noise == 0.0) return;
    for (double* sum : {&both, &noise}) *sum *= x, *sum *= x, *sum *= y, *sum *= y;
    of_x *= x, of_x *= y, of_x *= y;
    of_y *= x, of_y *= x, of_y *= y;
  }
};

/// A frame as the energies see it: rows * scale - shift, in units of an energy scale.
struct energy_frame {
  double scale;
  double of_frame;  ///< what turns the frame's units into these
  Eigen::VectorXd shift;

  energy_frame(const column_frame& frame, double energy_scale)
      : scale(energy_scale), of_frame(energy_scale / frame.scale), shift(scaled(of_frame, frame.shift)) {}

  /// The energies of rows.
  Eigen::VectorXd energies(const row_block& raw) const {
    Eigen::VectorXd out(raw.rows());
    const index d = raw.cols();
    parallel_chunks(raw.rows(), 64, [&](index first, index count) {
      Eigen::VectorXd row(d);
      for (index i = first; i < first + count; ++i) {
        const double* from = raw.data() + i * d;
        for (index j = 0; j < d; ++j) row[j] = from[j] * scale - shift[j];
        out[i] = sum_of_squares(row.data(), d);
      }
    });
    return out;
  }

  /// sum += sum over rows of weights times rows. A few columns at once, whose sums stay in registers: a column is always
  /// summed by one thread, from the first row to the last.
  void add_weighted(const row_block& raw, const Eigen::VectorXd& weights, Eigen::VectorXd& sum) const {
    constexpr index width = 24;
    const index d = raw.cols();
    if (sum.size() == 0) sum.setZero(d);
    parallel_chunks(d, width, [&](index first, index count) {
      std::array<double, width> origin{}, block{};
      std::copy_n(shift.data() + first, count, origin.begin());
      const double* row = raw.data() + first;
      for (index i = 0; i < raw.rows(); ++i, row += d) {
        const double weight = weights[i];
        if (count == width)
          for (std::size_t j = 0; j < width; ++j) block[j] += weight * (row[j] * scale - origin[j]);
        else
          for (std::size_t j = 0; j < static_cast<std::size_t>(count); ++j)
            block[j] += weight * (row[j] * scale - origin[j]);
      }
      for (index j = 0; j < count; ++j) sum[first + j] += at(block, j);
    });
  }
};

/// What a merge needs to know of one side of a product: n rows of a frame, and where that frame's origin lies in the
/// frame they are added to.
struct energy_side {
  Eigen::VectorXd offset;  ///< theirs - mine, in units of the energy scale
  Eigen::VectorXd sum;     ///< sum xi
  double energy;           ///< sum alpha
  double noise;

  energy_side(const column_frame& theirs, const column_frame& mine, double energy_scale)
      : offset(theirs.shift.size()),
        sum(scaled(energy_scale / theirs.scale, theirs.sum)),
        energy(in_units(theirs.energy.sum(), energy_scale / theirs.scale)),
        noise(energy + in_units(theirs.moved.sum(), energy_scale / theirs.scale)) {
    for (index j = 0; j < offset.size(); ++j)
      offset[j] = theirs.shift[j] * (energy_scale / theirs.scale) - mine.shift[j] * (energy_scale / mine.scale);
  }

  static double in_units(double energy, double factor) { return energy * factor * factor; }
};

/// Adds what another chain has seen of n tokens. products: sum xi eta^T of theirs, in units of the energy scales. With
/// D = ||delta||^2 and E = ||epsilon||^2 for the offsets delta of x and epsilon of y,
///     sum (alpha + 2 delta.xi + D) (beta + 2 epsilon.eta + E),  sum (beta + 2 epsilon.eta + E) (xi + delta)
/// and the same with x and y exchanged.
inline void merge_energies(energy_products& mine, const energy_products& theirs, const energy_side& x,
                           const energy_side& y, const matrix& products, double n) {
  const index d_x = x.offset.size(), d_y = y.offset.size();
  const double d = squared_norm(x.offset), e = squared_norm(y.offset);
  const double x_along = dot(x.offset.data(), x.sum.data(), d_x), y_along = dot(y.offset.data(), y.sum.data(), d_y);
  Eigen::VectorXd to_x = Eigen::VectorXd::Zero(d_x), to_y(d_y);  // products * epsilon, products^T * delta
  for (index j = 0; j < d_y; ++j) {
    add_multiple(y.offset[j], column(products, j), to_x.data(), d_x);
    to_y[j] = dot(column(products, j), x.offset.data(), d_x);
  }
  const double across = dot(to_x.data(), x.offset.data(), d_x);
  const double of_x = dot(theirs.of_x.data(), x.offset.data(), d_x),
               of_y = dot(theirs.of_y.data(), y.offset.data(), d_y);
  mine.both += theirs.both + 2.0 * (of_x + of_y) + 4.0 * across + e * (x.energy + 2.0 * x_along) +
               d * (y.energy + 2.0 * y_along) + n * d * e;
  mine.noise += 4.0 * (theirs.noise + e * x.noise + d * y.noise + n * d * e);
  const double x_weight = y.energy + 2.0 * y_along + n * e, y_weight = x.energy + 2.0 * x_along + n * d;
  for (index i = 0; i < d_x; ++i)
    mine.of_x[i] += theirs.of_x[i] + 2.0 * to_x[i] + e * x.sum[i] + x_weight * x.offset[i];
  for (index j = 0; j < d_y; ++j)
    mine.of_y[j] += theirs.of_y[j] + 2.0 * to_y[j] + d * y.sum[j] + y_weight * y.offset[j];
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
