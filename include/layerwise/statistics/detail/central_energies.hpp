// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/statistics/detail/chain_state.hpp>
#include <layerwise/statistics/detail/columns.hpp>
#include <layerwise/statistics/detail/energy_products.hpp>
#include <layerwise/statistics/scatter.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

// From products of energies about provisional shifts to those about means.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// One side of them, in units of its energy scale.
struct central_side {
  Eigen::VectorXd mean;  ///< from the shift
  double energy, noise;  ///< sum alpha; what took part in it
  double of_frame;       ///< what turns the frame's units into these

  central_side(const layer_state& layer, double n) : of_frame(layer.energy_scale / layer.frame.scale) {
    mean = scaled(of_frame / n, layer.frame.sum);
    energy = energy_side::in_units(layer.frame.energy.sum(), of_frame);
    noise = energy + energy_side::in_units(layer.frame.moved.sum(), of_frame);
  }
};

/// u^T S v for second moments S about the means, in units of the energy scales.
inline double along_means(const central_side& x, const central_side& y, const matrix& second) {
  double sum = 0.0;
  for (index j = 0; j < second.cols(); ++j)
    sum += y.mean[j] * dot(second.data() + j * second.rows(), x.mean.data(), second.rows());
  return sum * x.of_frame * y.of_frame;
}

/// What a chain of the two layers of a pair knows of them.
class central_energies {
 public:
  explicit central_energies(const chain_state& chain)
      : n_(static_cast<double>(chain.added.tokens)),
        x_(chain.layers[0], n_),
        y_(chain.layers[1], n_),
        xx_(chain.layers[0].energies),
        xy_(chain.pairs[0].energies),
        yy_(chain.layers[1].energies),
        x_scale_(chain.layers[0].energy_scale),
        y_scale_(chain.layers[1].energy_scale) {
    xx_.of_y = xx_.of_x;
    yy_.of_y = yy_.of_x;
    const column_frame& x = chain.layers[0].frame;
    const column_frame& y = chain.layers[1].frame;
    const double terms = static_cast<double>(x.shift.size() + y.shift.size()) + 100.0;
    rounding_ = 2.0 * (chain.added.rounding(x, x, true) + chain.added.rounding(y, y, true)) + unit_roundoff * terms;
  }

  /// With the second moments that `of` has.
  energy_sums about_means(const scatter& of) const {
    // Where x^T y was summed as that of an update, its rounding is that of larger columns.
    central_side wide = y_;
    wide.noise = (std::max)(y_.noise, energy_side::in_units(squared_norm(of.rounding.cross_norm), y_.of_frame));
    energy_sums out;
    out.xx = about_means(xx_, x_, x_, along_means(x_, x_, of.xx));
    out.xy = about_means(xy_, x_, y_, along_means(x_, y_, of.xy));
    out.yy = about_means(yy_, y_, y_, along_means(y_, y_, of.yy));
    out.xx_error = error_of(xx_, x_, x_), out.xy_error = error_of(xy_, x_, wide), out.yy_error = error_of(yy_, y_, y_);
    out.x_scale = x_scale_, out.y_scale = y_scale_;
    return out;
  }

 private:
  /// sum a b, with a = ||xi - u||^2 and b = ||eta - v||^2:
  ///     sum alpha beta - 2 v.(sum alpha eta) - 2 u.(sum beta xi) + 4 u^T (sum xi eta^T) v + ||v||^2 sum alpha
  ///     + ||u||^2 sum beta - 3 n ||u||^2 ||v||^2,
  /// where sum xi eta^T is S + n u v^T.
  double about_means(const energy_products& sums, const central_side& x, const central_side& y, double along) const {
    const double uu = squared_norm(x.mean), vv = squared_norm(y.mean);
    const double of_x = dot(x.mean.data(), sums.of_x.data(), x.mean.size());
    const double of_y = dot(y.mean.data(), sums.of_y.data(), y.mean.size());
    return sums.both - 2.0 * (of_x + of_y) + 4.0 * along + vv * x.energy + uu * y.energy + n_ * uu * vv;
  }

  /// Each term above is rounded relative to what Cauchy and Schwarz say it can be at most, with sqrt(sum alpha / n) for
  /// ||u|| and what rounds it, which adds up to so much.
  double error_of(const energy_products& sums, const central_side& x, const central_side& y) const {
    const double product = x.noise * y.noise / n_;
    return rounding_ * (sums.noise + 4.0 * std::sqrt(product * sums.noise) + 9.0 * product);
  }

  double n_;
  central_side x_, y_;
  energy_products xx_, xy_, yy_;
  double x_scale_, y_scale_, rounding_;
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
