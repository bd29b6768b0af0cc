// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/kernel/row_sums.hpp>
#include <layerwise/training/detail/term.hpp>

#include <cmath>
#include <utility>

namespace layerwise::inline LAYERWISE_ABI::detail {

/// The term ||h_l - h_{l-1}||^2; its gradients are multiplied by `scale`.
class squared_step_term {
 public:
  explicit squared_step_term(const term_scale& scale) : scale_(scale), is_ordinary_(scale.is_ordinary()) {}

  scaled_sum enter(index l, const double* before, const double* here, const row_sums& sums, index d, index token) {
    scaled_sum step;
    if (before != nullptr)
      step = scaled_squared_distance(before, here, sums, d, hidden_state_place(l - 1, token),
                                     hidden_state_place(l, token));
    previous_is_huge_ = std::exchange(is_huge_, step.exponent > 900);
    return step;
  }

  /// 2 ((h_l - h_{l-1}) - (h_{l+1} - h_l)), of which at both ends only one half exists.
  template <class Add>
  bool gradient(index, const neighbouring_rows& rows, const Add& add) const {
    if (is_huge_ || previous_is_huge_ || !is_ordinary_) return false;
    add([rows = filled(rows), scale = 2 * scale_.value()](const auto& at) {
      return scale * ((at(rows.here) - at(rows.before)) - (at(rows.after) - at(rows.here)));
    });
    return true;
  }

  [[gnu::cold, gnu::noinline]] void careful_gradient(index, const neighbouring_rows& rows, index d, double* out,
                                                     const place& at) const {
    const auto [before, here, after] = filled(rows);
    for (index j = 0; j < d; ++j) {
      int power = scale_.exponent + 1;
      double bend = (here[j] - before[j]) - (after[j] - here[j]);
      if (!std::isfinite(bend)) {  // differences of the largest numbers overflow, a quarter of them does not
        bend = (here[j] / 4 - before[j] / 4) - (after[j] / 4 - here[j] / 4);
        power += 2;
      }
      out[j] = gradient_element(scale_.mantissa, bend, power, at, j);
    }
  }

 private:
  /// From a row that is not there h_l has made no step.
  static neighbouring_rows filled(const neighbouring_rows& rows) {
    return {rows.before == nullptr ? rows.here : rows.before, rows.here,
            rows.after == nullptr ? rows.here : rows.after};
  }

  term_scale scale_;
  bool is_ordinary_;
  bool is_huge_ = false, previous_is_huge_ = false;  // the last two steps: their differences may overflow
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
