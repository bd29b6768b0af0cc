// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/angle.hpp>
#include <layerwise/detail/parallel.hpp>
#include <layerwise/detail/row_reader.hpp>
#include <layerwise/detail/row_writer.hpp>
#include <layerwise/detail/rows.hpp>
#include <layerwise/embedding.hpp>
#include <layerwise/error.hpp>
#include <layerwise/token_mask.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

namespace layerwise {

/// How a quantity per token becomes one number: the mean over the tokens that take part, or their sum.
enum class reduction {
  mean,  ///< over the tokens that take part
  sum,   ///< over the tokens that take part
};

namespace detail {

inline place hidden_state_place(index layer, index token) {
  return {.operand = "hidden_states", .layer = layer, .row = token};
}

/// The term ||h_l - h_{l-1}||^2 and its gradients, for one token at a time. Holds the workspace of one
/// thread.
class squared_step_term {
 public:
  /// The terms come as they are; the gradients are multiplied by `scale`.
  explicit squared_step_term(double scale) : scale_(scale) {}

  /// The term of layer l, for the token's rows in layers l - 1 and l; 0 for l = 0, where `before` is null.
  scaled_sum enter(index l, const double* before, const double* here, const row_sums& sums, index d,
                   index token) {
    scaled_sum step;
    if (before != nullptr)
      step = squared_distance(before, here, sums, d, hidden_state_place(l - 1, token),
                              hidden_state_place(l, token));
    previous_is_huge_ = std::exchange(is_huge_, step.exponent > 2000);
    return step;
  }

  /// Calls add(g) with g(at) the gradient with respect to h_l, see add_to_row: 2 ((h_l - h_{l-1}) - (h_{l+1}
  /// - h_l)), at both ends, where a pointer is null, only what exists. To be called when layer l + 1 has been
  /// entered.
  template <class Add>
  void gradient(index, const double* before, const double* here, const double* after, const Add& add) const {
    if (before == nullptr) before = here;
    if (after == nullptr) after = here;
    if (is_huge_ || previous_is_huge_)
      // Differences of the largest numbers overflow, a quarter of them does not.
      add([=, scale = 8 * scale_](const auto& at) {
        return scale * ((at(here) / 4 - at(before) / 4) - (at(after) / 4 - at(here) / 4));
      });
    else
      add([=, scale = 2 * scale_](const auto& at) {
        return scale * ((at(here) - at(before)) - (at(after) - at(here)));
      });
  }

 private:
  double scale_;
  bool is_huge_ = false, previous_is_huge_ = false;
};

/// The term weight_l (1 - cos(h_{l-1}, h_l)) and its gradients, for one token at a time. Holds the workspace
/// of one thread.
class turn_term {
 public:
  /// weights[l - 1] is the weight of layer l. The gradients are multiplied by `scale`.
  turn_term(std::vector<double> weights, double scale) : weights_(std::move(weights)), scale_(scale) {}

  /// The term of layer l, for the token's rows in layers l - 1 and l; 0 for l = 0, where `before` is null. A
  /// row whose squares leave the range of double is divided by a power of two in place: its direction is all
  /// that counts.
  scaled_sum enter(index l, const double* before, double* here, row_sums sums, index d, index token) {
    row& own = at(l);
    own = {};
    if (!in_safe_range(sums.squares)) {
      own.exponent = rescale_direction(here, d, hidden_state_place(l, token));
      sums = sum_row(before, here, d);
    }
    own.squares = sums.squares;
    if (before == nullptr) return {};
    const row_angle angle = measure_angle(before, at(l - 1).squares, here, sums, d,
                                          hidden_state_place(l - 1, token), hidden_state_place(l, token));
    own.weight = weights_[static_cast<std::size_t>(l - 1)];
    own.sign = angle.acute ? 1. : -1.;
    own.shortfall = angle.chord / 2;
    return {2 * own.weight * angle.displacement(), 0};
  }

  /// Calls add(g) with g(at) the gradient with respect to h = h_l, see add_to_row. With u^ = u / ||u||, s the
  /// sign of the cosine c and E = 1 - |c|,
  ///
  ///     d(1 - c)/dh = -(v^ - c h^) / ||h|| = -((v^ - s h^) + s E h^) / ||h||
  ///
  /// for each neighbour v, where nothing cancels but in v^ - s h^, which is small only if the result is. At
  /// both ends a pointer is null. To be called when layer l + 1 has been entered.
  template <class Add>
  void gradient(index l, const double* before, const double* here, const double* after,
                const Add& add) const {
    const row& own = at(l);
    const double factor = -scale_ / own.squares;
    const neighbour in = before == nullptr ? neighbour{here} : neighbour{before, own, own, at(l - 1), factor};
    const neighbour next =
        after == nullptr ? neighbour{here} : neighbour{after, at(l + 1), own, at(l + 1), factor};
    const auto slope = [=, along = in.along + next.along](const auto& at) {
      return in.factor * (in.stretch * at(in.values) - at(here)) +
             next.factor * (next.stretch * at(next.values) - at(here)) + along * at(here);
    };
    if (own.exponent == 0) return add(slope);
    // In two steps, because the power of two itself may be out of range.
    const int half = own.exponent / 2;
    add([slope, first = std::exp2(-half), second = std::exp2(half - own.exponent)](const auto& at) {
      return slope(at) * first * second;
    });
  }

 private:
  struct row {
    double squares = 0;  ///< of the row divided by 2^exponent
    int exponent = 0;
    double weight = 0, sign = 1, shortfall = 0;  ///< of the turn into this layer: w, s and E
  };

  /// What the gradient takes from one neighbour v, factor (stretch v - h) + along h; nothing, by default.
  struct neighbour {
    const double* values;
    double factor = 0, stretch = 1 /* s ||h|| / ||v|| */, along = 0;

    explicit neighbour(const double* anything) : values(anything) {}
    neighbour(const double* v, const row& turn, const row& own, const row& other, double scale)
        : values(v),
          factor(scale * turn.weight * turn.sign),
          stretch(turn.sign * std::sqrt(own.squares / other.squares)),
          along(factor * turn.shortfall) {}
  };

  // Three layers are enough: what a gradient needs.
  row& at(index l) { return rows_[static_cast<std::size_t>(l % 3)]; }
  const row& at(index l) const { return rows_[static_cast<std::size_t>(l % 3)]; }

  std::vector<double> weights_;
  double scale_;
  std::array<row, 3> rows_;
};

/// No gradients are asked for.
inline std::vector<strided_view<double>> open_gradients(std::size_t, const shape&) { return {}; }

/// One writable view per layer. Throws shape_error unless there are `layers` of them, of the shape given.
template <hidden_state_gradients G>
auto open_gradients(std::size_t layers, const shape& expected, G& gradients) {
  std::vector<view_type<std::remove_reference_t<std::ranges::range_reference_t<G>>>> views;
  for (auto&& m : gradients) {
    views.push_back(view_of(m));
    require_equal_shape(expected, shape_of(row_reader(views.back())),
                        {.operand = "gradients", .layer = static_cast<index>(views.size()) - 1});
  }
  if (views.size() != layers)
    fail<shape_error>(text("gradients of ", layers, " layers, as the hidden states have"), text(views.size()),
                      {.operand = "gradients"});
  return views;
}

inline void require_finite(double value, std::string_view name) {
  if (!std::isfinite(value)) fail<non_finite_error>("a finite value", text(value), {.operand = name});
}

/// lambda * (mean or sum over tokens of the term that make_term(L, scale) measures), in one pass over the
/// data: token by token, all layers of a token before the next. Tokens are shared out in fixed chunks whose
/// sums are added in order, so the result does not depend on the number of threads.
template <class MakeTerm, hidden_states H, class... Gradients>
double regularize(double lambda, reduction how, const MakeTerm& make_term, const token_mask& mask,
                  const H& states, Gradients&... gradients) {
  require_finite(lambda, "lambda");
  const auto layers = open_layers(states);
  const shape size = shape_of(layers.front());
  const auto writers = open_gradients(layers.size(), size, gradients...);
  const std::vector<index> tokens = mask.rows(size.rows);
  if (tokens.empty())
    fail<degenerate_input_error>("a mask that keeps a token", text("0 of ", size.rows),
                                 {.operand = "token_mask"});

  const index kept = static_cast<index>(tokens.size()), chunk = 16;
  const index last = static_cast<index>(layers.size()) - 1;
  const double scale = how == reduction::mean ? lambda / static_cast<double>(kept) : lambda;
  const auto term_of_all = make_term(last, scale);
  std::vector<scaled_sum> partial(static_cast<std::size_t>((kept + chunk - 1) / chunk));
  parallel_chunks(kept, chunk, [&](index first, index count) {
    auto term = term_of_all;
    scaled_sum sum;
    row_block rows = row_block::Zero(3, size.cols + lanes);  // whole blocks
    for (index i = first; i < first + count; ++i) {
      const index token = tokens[static_cast<std::size_t>(i)];
      const index next = tokens[static_cast<std::size_t>(std::min(i + 2, kept - 1))];
      const auto row = [&](index l) { return l < 0 || l > last ? nullptr : &rows(l % 3, 0); };
      const auto add_gradient = [&](index l) {
        term.gradient(l, row(l - 1), row(l), row(l + 1), [&](const auto& values) {
          add_to_row(writers[static_cast<std::size_t>(l)], token, next, values);
        });
      };
      for (index l = 0; l <= last; ++l) {
        const auto& layer = layers[static_cast<std::size_t>(l)];
        const row_sums sums = read_row(layer, token, next, row(l - 1), row(l));
        sum.add(term.enter(l, row(l - 1), row(l), sums, size.cols, token));
        if (!writers.empty() && l > 0) add_gradient(l - 1);
      }
      if (!writers.empty()) add_gradient(last);
    }
    partial[static_cast<std::size_t>(first / chunk)] = sum;
  });
  scaled_sum total;
  for (const scaled_sum& sum : partial) total.add(sum);
  int power = 0;
  const double mantissa = std::frexp(scale, &power);
  return std::scalbn(mantissa * total.mantissa, total.exponent + power);
}

/// softmax(alpha * (1, ..., layers)). Infinite alpha is the limit: all weight on the last or the first layer.
inline std::vector<double> jump_weights(index layers, double alpha) {
  const index largest = alpha > 0 ? layers : 1;
  std::vector<double> weights;
  double sum = 0;
  for (index l = 1; l <= layers; ++l) {
    // At the largest itself, infinity times 0 would be NaN.
    weights.push_back(l == largest ? 1 : std::exp(alpha * static_cast<double>(l - largest)));
    sum += weights.back();
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

/// The steps of the MSE regularizer.
struct make_step_term {
  squared_step_term operator()(index, double scale) const { return squared_step_term(scale); }
};

/// The turns of the cosine regularizer: every layer counts alike.
struct make_even_turn_term {
  turn_term operator()(index layers, double scale) const {
    return {std::vector<double>(static_cast<std::size_t>(layers), 1.), scale};
  }
};

/// The turns of JREG: Psi is half of 1 - c.
struct make_jump_term {
  double alpha;
  turn_term operator()(index layers, double scale) const {
    if (std::isnan(alpha)) fail<non_finite_error>("a number", text(alpha), {.operand = "alpha"});
    std::vector<double> weights = jump_weights(layers, alpha);
    for (double& weight : weights) weight /= 2;
    return {std::move(weights), scale};
  }
};

}  // namespace detail

/// @file
/// Three regularizers with their gradients: MSE, cosine, JREG. What they have in common:
///
/// states: h_0 ... h_L, n_tokens x d each, L >= 1: any forward range of embedding matrices, as
/// hidden_states_view is one.
///
/// gradients: L + 1 writable matrices of the same shape and of any scalar type. The gradient of the value
/// with respect to every h_l is *added* to them, computed in double and rounded once. They must not overlap
/// the states.
///
/// mask: the tokens that take part, in the mean as in the sum. The rows of the others are not looked at, and
/// neither are their gradients.
///
/// Throws shape_error for fewer than two layers, for states, gradients or a mask that do not fit each other;
/// degenerate_input_error for empty matrices and for a mask that keeps no token; non_finite_error for NaN or
/// infinity in the states and for a lambda that is not finite. All this is found before anything is written,
/// but for a row at fault (NaN, infinity, or zeros where an angle is asked for): it is found when its turn
/// comes, in the one pass, and the gradients of other rows have been added by then. Throw them away after an
/// exception.
///
/// Costs one pass over the states, and one, to read and to write, over the gradients; the workspace is three
/// rows per thread. The same to the bit for any number of threads.

/// The MSE regularizer of arXiv 2405.12250: lambda * sum_{l=1}^{L} ||h_l - h_{l-1}||^2, which draws
/// neighbouring layers together. Mean (or sum) over tokens; the square of a row's norm is the sum over its d
/// dimensions.
///
/// Gradient with respect to h_l: 2 lambda ((h_l - h_{l-1}) - (h_{l+1} - h_l)), at both ends only the part
/// that exists, divided by the number of tokens for the mean. The value is >= 0 for lambda >= 0, in squared
/// units of the states, and infinite where it exceeds the range of double. States that do not change from
/// layer to layer give 0.
struct mse_regularizer {
  double lambda;  ///< weight, finite; the paper uses 0.5 and 2.0
  layerwise::reduction reduction = layerwise::reduction::mean;  ///< over tokens

  /// The value alone. Arguments, errors and cost: regularizer.hpp.
  double value(const hidden_states auto& states, const token_mask& mask = {}) const {
    return detail::regularize(lambda, reduction, detail::make_step_term{}, mask, states);
  }
  /// Returns the value and adds its gradients.
  double value_and_gradient(const hidden_states auto& states, hidden_state_gradients auto&& gradients,
                            const token_mask& mask = {}) const {
    return detail::regularize(lambda, reduction, detail::make_step_term{}, mask, states, gradients);
  }
};

/// The cosine regularizer of arXiv 2405.12250: lambda * sum_{l=1}^{L} (1 - cos(h_l, h_{l-1})), which turns
/// neighbouring layers towards each other. Mean (or sum) over tokens.
///
/// Gradient with respect to h_l: -lambda/||h_l|| * sum over both neighbours v of (v^ - c h^), where ^ is the
/// unit vector and c the cosine; it is orthogonal to h_l. The value is in [0, 2 lambda L] for the mean and
/// lambda >= 0; states that do not turn give 0. Also throws degenerate_input_error for a row of zeros, which
/// has no direction.
struct cosine_regularizer {
  double lambda;                                                ///< weight, finite; the paper uses 0.5
  layerwise::reduction reduction = layerwise::reduction::mean;  ///< over tokens

  /// The value alone. Arguments, errors and cost: regularizer.hpp.
  double value(const hidden_states auto& states, const token_mask& mask = {}) const {
    return detail::regularize(lambda, reduction, detail::make_even_turn_term{}, mask, states);
  }
  /// Returns the value and adds its gradients.
  double value_and_gradient(const hidden_states auto& states, hidden_state_gradients auto&& gradients,
                            const token_mask& mask = {}) const {
    return detail::regularize(lambda, reduction, detail::make_even_turn_term{}, mask, states, gradients);
  }
};

/// JREG of arXiv 2601.18302: lambda * sum_{l=1}^{L} w_l Psi_l with the displacement Psi_l = (1 - cos(h_{l-1},
/// h_l))/2 and w = softmax(alpha * (1, ..., L)). Mean (or sum) over tokens.
///
/// alpha = 0 is the plain mean over layers. alpha -> infinity, and alpha = infinity is allowed, is the final
/// layer only, which moves the jump one layer earlier rather than removing it; alpha = -infinity the first
/// layer only. The value is in [0, lambda] for the mean and lambda >= 0; states that do not turn give 0.
/// Gradient: w_l/2 times that of the cosine regularizer's term. Also throws degenerate_input_error for a row
/// of zeros, non_finite_error for alpha NaN.
struct jreg_regularizer {
  double lambda;  ///< weight, finite; no published default
  double alpha;   ///< how much the late layers count, any number but NaN; no published default
  layerwise::reduction reduction = layerwise::reduction::mean;  ///< over tokens

  /// The value alone. Arguments, errors and cost: regularizer.hpp.
  double value(const hidden_states auto& states, const token_mask& mask = {}) const {
    return detail::regularize(lambda, reduction, detail::make_jump_term{alpha}, mask, states);
  }
  /// Returns the value and adds its gradients.
  double value_and_gradient(const hidden_states auto& states, hidden_state_gradients auto&& gradients,
                            const token_mask& mask = {}) const {
    return detail::regularize(lambda, reduction, detail::make_jump_term{alpha}, mask, states, gradients);
  }
};

}  // namespace layerwise
