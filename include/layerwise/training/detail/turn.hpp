// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/kernel/lanes.hpp>
#include <layerwise/kernel/row_sums.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/metrics/detail/row_angle.hpp>
#include <layerwise/training/detail/term.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

namespace layerwise::inline LAYERWISE_ABI::detail {

/// The term weight_l (1 - cos(h_{l-1}, h_l)); its gradients are multiplied by `scale`. With u^ = u / ||u||, s the sign
/// of the cosine c and E = 1 - |c|,
///
///     d(1 - c)/dh = -(v^ - c h^) / ||h|| = -((v^ - s h^) + s E h^) / ||h||
///
/// for each neighbour v of h = h_l, where nothing cancels but in v^ - s h^.
class turn_term {
 public:
  /// weights[l - 1] is the weight of layer l.
  turn_term(std::vector<double> weights, const term_scale& scale)
      : weights_(std::move(weights)), scale_(scale), is_ordinary_(scale.is_ordinary()) {}

  /// A row whose squares leave the range of double is divided by a power of two in place: its direction is all that
  /// counts.
  scaled_sum enter(index l, const double* before, double* here, row_sums sums, index d, index token) {
    turn& own = turn_into(l);
    own = {};
    if (!in_safe_range(sums.squares)) {
      own.exponent = rescale_direction(here, d, hidden_state_place(l, token));
      sums = sum_row(before, here, d);
    }
    own.squares = sums.squares;
    if (before == nullptr) return {};
    const row_angle angle = measure_angle({before, turn_into(l - 1).squares, hidden_state_place(l - 1, token)},
                                          {here, sums.squares, hidden_state_place(l, token)}, sums.step, d);
    own.weight = detail::at(weights_, l - 1);
    own.sign = angle.acute ? 1. : -1.;
    own.shortfall = angle.chord / 2;
    return {2 * own.weight * angle.displacement(), 0};
  }

  template <class Add>
  bool gradient(index l, const neighbouring_rows& rows, const Add& add) const {
    const double* const here = rows.here;
    const turn& own = turn_into(l);
    if (!is_ordinary_ || own.exponent != 0 || (rows.before != nullptr && own.is_narrow()) ||
        (rows.after != nullptr && turn_into(l + 1).is_narrow()))
      return false;
    const double factor = -scale_.value() / own.squares;
    const pull in = rows.before == nullptr ? pull{here} : pull{rows.before, own, own, turn_into(l - 1), factor};
    const pull next =
        rows.after == nullptr ? pull{here} : pull{rows.after, turn_into(l + 1), own, turn_into(l + 1), factor};
    add([=, along = in.along + next.along](const auto& at) {
      return in.factor * (in.stretch * at(in.values) - at(here)) +
             next.factor * (next.stretch * at(next.values) - at(here)) + along * at(here);
    });
    return true;
  }

  /// For the smallest angles, too.
  [[gnu::cold, gnu::noinline]] void careful_gradient(index l, const neighbouring_rows& rows, index d, double* out,
                                                     const place& at_row) const {
    const turn& own = turn_into(l);
    const double factor = -(is_ordinary_ ? scale_.value() : scale_.mantissa) / own.squares;
    std::fill_n(out, d, 0.);
    if (rows.before != nullptr) add_pull({rows.before, own, own, turn_into(l - 1), factor}, rows.here, d, out);
    if (rows.after != nullptr)
      add_pull({rows.after, turn_into(l + 1), own, turn_into(l + 1), factor}, rows.here, d, out);
    const int power = (is_ordinary_ ? 0 : scale_.exponent) - own.exponent;
    if (power == 0 && is_ordinary_) return;
    for (index j = 0; j < d; ++j) out[j] = gradient_element(1, out[j], power, at_row, j);
  }

 private:
  /// What is known of a row h_l, and of the turn into it from h_{l-1}.
  struct turn {
    double squares = 0;  ///< of the row divided by 2^exponent
    int exponent = 0;
    double weight = 0, sign = 1, shortfall = 0;  ///< w, s and E

    /// Below 1e-2 from 0 or pi the rounding of v^ - s h^, 1e-16, is more than 1e-14 of it.
    bool is_narrow() const { return shortfall < 0.5e-4; }
  };

  /// What the gradient takes from one neighbour v, factor (stretch v - h) + along h; nothing, by default.
  struct pull {
    const double* values;
    double factor = 0, stretch = 1 /* s ||h|| / ||v|| */, along = 0;
    bool is_narrow = false;

    explicit pull(const double* anything) : values(anything) {}
    pull(const double* v, const turn& between, const turn& own, const turn& other, double scale)
        : values(v),
          factor(scale * between.weight * between.sign),
          stretch(between.sign * std::sqrt(own.squares / other.squares)),
          along(factor * between.shortfall),
          is_narrow(between.is_narrow()) {}
  };

  /// out += what the gradient takes from a neighbour v. Where h and v are nearly parallel: with every element of
  /// w = v - s (||v|| / ||h||) h rounded once, v - c (||v|| / ||h||) h is w without its part along h. So the rounding
  /// is 1e-16 of the result, not of the rows.
  static void add_pull(const pull& from, const double* h, index d, double* out) {
    const double* const v = from.values;
    if (!from.is_narrow) {
      for (index j = 0; j < d; ++j) out[j] += from.factor * (from.stretch * v[j] - h[j]) + from.along * h[j];
      return;
    }
    const double ratio = -1 / from.stretch;
    Eigen::VectorXd w(d);
    for (index j = 0; j < d; ++j) w[j] = std::fma(ratio, h[j], v[j]);
    const double rest = lane_dot(w.data(), h, d) / sum_of_squares(h, d), factor = from.factor * from.stretch;
    for (index j = 0; j < d; ++j) out[j] += factor * (w[j] - rest * h[j]);
  }

  // Three layers are enough: what a gradient needs.
  turn& turn_into(index l) { return detail::at(turns_, l % 3); }
  const turn& turn_into(index l) const { return detail::at(turns_, l % 3); }

  std::vector<double> weights_;
  term_scale scale_;
  bool is_ordinary_;
  std::array<turn, 3> turns_;
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
