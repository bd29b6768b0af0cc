// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_writer.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/lanes.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/metrics/displacement.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <ranges>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace layerwise::inline LAYERWISE_ABI {

/// How a quantity per token becomes one number: the mean over the tokens that take part, or their sum.
enum class reduction {
  mean,  ///< over the tokens that take part
  sum,   ///< over the tokens that take part
};

/// Which of two neighbouring layers is a constant to the gradient.
enum class stop_gradient {
  none,    ///< each is drawn towards the other
  before,  ///< h_{l-1}: a layer is drawn towards the one before it, never that one towards it
  after,   ///< h_l: a layer is drawn towards the one after it
};

/// The layers l = first, ..., last whose step or turn from h_{l-1} to h_l takes part.
struct layer_range {
  index first = 1;                 ///< from 1 on
  std::optional<index> last = {};  ///< up to L; empty: L
};

/// A weight that changes with the steps of a training: `from` up to step `begin`, `to` from step `end` on, on
/// a line between them. Set a regularizer's lambda to it:
///
///     const layerwise::linear_schedule warm_up{.from = 0, .to = 0.5, .begin = 0, .end = 200};
///     const layerwise::cosine_regularizer regularizer{.lambda = warm_up(step)};
///
/// All four are finite, of any size. For end <= begin it jumps to `to` at step `end`.
struct linear_schedule {
  double from = 0;   ///< up to step begin
  double to = 1;     ///< from step end on
  double begin = 0;  ///< the last step of `from`
  double end = 0;    ///< the first step of `to`

  /// The weight at a step, an integer or not.
  template <class Step>
  requires std::is_arithmetic_v<Step>
  double operator()(Step step) const {
    const auto at = static_cast<double>(step);
    if (at >= end) return to;
    if (at <= begin) return from;
    // Halved only where the difference overflows: halving would lose the last bit of the smallest numbers.
    const double steps = end - begin;
    return std::lerp(from, to,
                     std::isfinite(steps) ? (at - begin) / steps : (at / 2 - begin / 2) / (end / 2 - begin / 2));
  }
};

namespace detail {

inline place hidden_state_place(index layer, index token) {
  return {.operand = "hidden_states", .layer = layer, .row = token};
}

/// What a sum of terms is multiplied by, mantissa * 2^exponent: lambda, or lambda over the number of tokens,
/// without the rounding of the smallest numbers.
struct term_scale {
  double mantissa = 0;
  int exponent = 0;

  double value() const { return std::scalbn(mantissa, exponent); }
  /// Whether products with numbers between 1e-150 and 1e150 stay within the range of double.
  bool is_ordinary() const {
    const double size = std::abs(value());
    return size == 0 ? mantissa == 0 : size > 1e-150 && size < 1e150;
  }
};

/// a * b * 2^power, an element of a gradient. Throws non_finite_error with the column, at the place given,
/// where that is beyond the range of double.
inline double gradient_element(double a, double b, int power, place at, index column) {
  int power_of_a = 0, power_of_b = 0;
  const double product = std::frexp(a, &power_of_a) * std::frexp(b, &power_of_b);
  const double element = std::scalbn(product, power + power_of_a + power_of_b);
  if (!std::isfinite(element)) {
    at.column = column;
    fail<non_finite_error>("a gradient within the range of double", text(element), at);
  }
  return element;
}

/// The term ||h_l - h_{l-1}||^2 and its gradients, for one token at a time. Holds the workspace of one
/// thread.
class squared_step_term {
 public:
  /// The terms come as they are; the gradients are multiplied by `scale`.
  explicit squared_step_term(const term_scale& scale) : scale_(scale), is_ordinary_(scale.is_ordinary()) {}

  /// The term of layer l, for the token's rows in layers l - 1 and l; 0 where `before` is null.
  scaled_sum enter(index l, const double* before, const double* here, const row_sums& sums, index d, index token) {
    scaled_sum step;
    if (before != nullptr)
      step = squared_distance(before, here, sums, d, hidden_state_place(l - 1, token), hidden_state_place(l, token));
    previous_is_huge_ = std::exchange(is_huge_, step.exponent > 900);
    return step;
  }

  /// Calls add(g) with g(at) the gradient with respect to h_l, see add_to_row: 2 ((h_l - h_{l-1}) - (h_{l+1}
  /// - h_l)), at both ends, where a pointer is null, only what exists. False, and nothing is called, where
  /// careful_gradient() must be used. To be called when layer l + 1 has been entered.
  template <class Add>
  bool gradient(index, const double* before, const double* here, const double* after, const Add& add) const {
    if (is_huge_ || previous_is_huge_ || !is_ordinary_) return false;
    if (before == nullptr) before = here;
    if (after == nullptr) after = here;
    add([=, scale = 2 * scale_.value()](const auto& at) {
      return scale * ((at(here) - at(before)) - (at(after) - at(here)));
    });
    return true;
  }

  /// The same in out, for every finite row and scale. Throws non_finite_error, at the place given.
  [[gnu::cold, gnu::noinline]] void careful_gradient(index, const double* before, const double* here,
                                                     const double* after, index d, double* out, const place& at) const {
    if (before == nullptr) before = here;
    if (after == nullptr) after = here;
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
  term_scale scale_;
  bool is_ordinary_;
  bool is_huge_ = false, previous_is_huge_ = false;
};

/// The term weight_l (1 - cos(h_{l-1}, h_l)) and its gradients, for one token at a time. Holds the workspace
/// of one thread.
class turn_term {
 public:
  /// weights[l - 1] is the weight of layer l. The gradients are multiplied by `scale`.
  turn_term(std::vector<double> weights, const term_scale& scale)
      : weights_(std::move(weights)), scale_(scale), is_ordinary_(scale.is_ordinary()) {}

  /// The term of layer l, for the token's rows in layers l - 1 and l; 0 where `before` is null. A row whose
  /// squares leave the range of double is divided by a power of two in place: its direction is all that
  /// counts.
  scaled_sum enter(index l, const double* before, double* here, row_sums sums, index d, index token) {
    row& own = at(l);
    own = {};
    if (!in_safe_range(sums.squares)) {
      own.exponent = rescale_direction(here, d, hidden_state_place(l, token));
      sums = sum_row(before, here, d);
    }
    own.squares = sums.squares;
    if (before == nullptr) return {};
    const row_angle angle = measure_angle(before, at(l - 1).squares, here, sums, d, hidden_state_place(l - 1, token),
                                          hidden_state_place(l, token));
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
  /// for each neighbour v, where nothing cancels but in v^ - s h^. At both ends a pointer is null. False, and
  /// nothing is called, where careful_gradient() must be used. To be called when layer l + 1 has been
  /// entered.
  template <class Add>
  bool gradient(index l, const double* before, const double* here, const double* after, const Add& add) const {
    const row& own = at(l);
    if (!is_ordinary_ || own.exponent != 0 || (before != nullptr && own.is_narrow()) ||
        (after != nullptr && at(l + 1).is_narrow()))
      return false;
    const double factor = -scale_.value() / own.squares;
    const neighbour in = before == nullptr ? neighbour{here} : neighbour{before, own, own, at(l - 1), factor};
    const neighbour next = after == nullptr ? neighbour{here} : neighbour{after, at(l + 1), own, at(l + 1), factor};
    add([=, along = in.along + next.along](const auto& at) {
      return in.factor * (in.stretch * at(in.values) - at(here)) +
             next.factor * (next.stretch * at(next.values) - at(here)) + along * at(here);
    });
    return true;
  }

  /// The same in out, for every finite row and scale, and for the smallest angles. Throws non_finite_error,
  /// at the place given.
  [[gnu::cold, gnu::noinline]] void careful_gradient(index l, const double* before, const double* here,
                                                     const double* after, index d, double* out,
                                                     const place& at_row) const {
    const row& own = at(l);
    const double factor = -(is_ordinary_ ? scale_.value() : scale_.mantissa) / own.squares;
    std::fill_n(out, d, 0.);
    if (before != nullptr) add_pull(neighbour(before, own, own, at(l - 1), factor), here, d, out);
    if (after != nullptr) add_pull(neighbour(after, at(l + 1), own, at(l + 1), factor), here, d, out);
    const int power = (is_ordinary_ ? 0 : scale_.exponent) - own.exponent;
    if (power == 0 && is_ordinary_) return;
    for (index j = 0; j < d; ++j) out[j] = gradient_element(1, out[j], power, at_row, j);
  }

 private:
  struct row {
    double squares = 0;  ///< of the row divided by 2^exponent
    int exponent = 0;
    double weight = 0, sign = 1, shortfall = 0;  ///< of the turn into this layer: w, s and E

    /// Below 1e-2 from 0 or pi the rounding of v^ - s h^, 1e-16, is more than 1e-14 of it.
    bool is_narrow() const { return shortfall < 0.5e-4; }
  };

  /// What the gradient takes from one neighbour v, factor (stretch v - h) + along h; nothing, by default.
  struct neighbour {
    const double* values;
    double factor = 0, stretch = 1 /* s ||h|| / ||v|| */, along = 0;
    bool is_narrow = false;

    explicit neighbour(const double* anything) : values(anything) {}
    neighbour(const double* v, const row& turn, const row& own, const row& other, double scale)
        : values(v),
          factor(scale * turn.weight * turn.sign),
          stretch(turn.sign * std::sqrt(own.squares / other.squares)),
          along(factor * turn.shortfall),
          is_narrow(turn.is_narrow()) {}
  };

  /// out += what the gradient takes from a neighbour v. Where h and v are nearly parallel: with every element
  /// of w = v - s (||v|| / ||h||) h rounded once, v - c (||v|| / ||h||) h is w without its part along h. So
  /// the rounding is 1e-16 of the result, not of the rows.
  static void add_pull(const neighbour& from, const double* h, index d, double* out) {
    const double* const v = from.values;
    if (!from.is_narrow) {
      for (index j = 0; j < d; ++j) out[j] += from.factor * (from.stretch * v[j] - h[j]) + from.along * h[j];
      return;
    }
    const double ratio = -1 / from.stretch;
    Eigen::VectorXd w(d);
    for (index j = 0; j < d; ++j) w[j] = std::fma(ratio, h[j], v[j]);
    const double rest = dot_product(w.data(), h, d) / sum_of_squares(h, d), factor = from.factor * from.stretch;
    for (index j = 0; j < d; ++j) out[j] += factor * (w[j] - rest * h[j]);
  }

  // Three layers are enough: what a gradient needs.
  row& at(index l) { return rows_[static_cast<std::size_t>(l % 3)]; }
  const row& at(index l) const { return rows_[static_cast<std::size_t>(l % 3)]; }

  std::vector<double> weights_;
  term_scale scale_;
  bool is_ordinary_;
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

/// First and last layer of the range, for states h_0 ... h_{layers}. Throws shape_error unless they exist.
inline std::pair<index, index> resolve(const layer_range& range, index layers) {
  const std::pair<index, index> found{range.first, range.last.value_or(layers)};
  if (!(1 <= found.first && found.first <= found.second && found.second <= layers))
    fail<shape_error>(text("layers 1 <= first <= last <= ", layers), text(found.first, " to ", found.second),
                      {.operand = "layers"});
  return found;
}

/// lambda * (mean or sum over tokens of the term that make_term(L, scale) measures), in one pass over the
/// data: token by token, all layers of a token before the next. Tokens are shared out in fixed chunks whose
/// sums are added in order, so the result does not depend on the number of threads.
template <class Regularizer, class MakeTerm, hidden_states H, class... Gradients>
double regularize(const Regularizer& options, const MakeTerm& make_term, const token_mask& mask, const H& states,
                  Gradients&... gradients) {
  require_finite(options.lambda, "lambda");
  const auto layers = open_layers(states);
  const shape size = shape_of(layers.front());
  const auto writers = open_gradients(layers.size(), size, gradients...);
  const index final_layer = static_cast<index>(layers.size()) - 1;
  const auto [first_layer, last_layer] = resolve(options.layers, final_layer);
  const std::vector<index> tokens = mask.rows(size.rows);
  if (tokens.empty())
    fail<degenerate_input_error>("a mask that keeps a token", text("0 of ", size.rows), {.operand = "token_mask"});

  const index kept = static_cast<index>(tokens.size()), chunk = 16;
  term_scale scale;
  scale.mantissa = std::frexp(options.lambda, &scale.exponent);
  if (options.reduction == reduction::mean) scale.mantissa /= static_cast<double>(kept);
  const auto term_of_all = make_term(final_layer, scale);
  std::vector<scaled_sum> partial(static_cast<std::size_t>((kept + chunk - 1) / chunk));
  parallel_chunks(kept, chunk, [&, origin = first_layer - 1, last = last_layer](index first, index count) {
    auto term = term_of_all;
    scaled_sum sum;
    row_block rows = row_block::Zero(4, size.cols + lanes);  // whole blocks; of three layers, and a gradient
    for (index i = first; i < first + count; ++i) {
      const index token = tokens[static_cast<std::size_t>(i)];
      const index next = tokens[static_cast<std::size_t>((std::min)(i + 2, kept - 1))];
      const auto row = [&](index l) { return l < origin || l > last ? nullptr : &rows(l % 3, 0); };
      // The term of layer l sees h_{l-1} as a constant, or h_l, by not being there for the other.
      const auto add_gradient = [&](index l) {
        const double* const before = options.stop_gradient == stop_gradient::after ? nullptr : row(l - 1);
        const double* const after = options.stop_gradient == stop_gradient::before ? nullptr : row(l + 1);
        const auto add = [&](const auto& values) {
          add_to_row(writers[static_cast<std::size_t>(l)], token, next, values);
        };
        if (term.gradient(l, before, row(l), after, add)) return;
        double* const values = &rows(3, 0);
        term.careful_gradient(l, before, row(l), after, size.cols, values,
                              {.operand = "gradients", .layer = l, .row = token});
        add([values](const auto& at) { return at(values); });
      };
      for (index l = origin; l <= last; ++l) {
        const auto& layer = layers[static_cast<std::size_t>(l)];
        const row_sums sums = read_row(layer, token, next, row(l - 1), row(l));
        sum.add(term.enter(l, row(l - 1), row(l), sums, size.cols, token));
        if (!writers.empty() && l > origin) add_gradient(l - 1);
      }
      if (!writers.empty()) add_gradient(last);
    }
    partial[static_cast<std::size_t>(first / chunk)] = sum;
  });
  scaled_sum total;
  for (const scaled_sum& sum : partial) total.add(sum);
  const double value = std::scalbn(scale.mantissa * total.mantissa, total.exponent + scale.exponent);
  if (!std::isfinite(value))
    fail<non_finite_error>("a value within the range of double", text(value), {.operand = "regularizer"});
  return value;
}

/// The steps of the MSE regularizer.
inline squared_step_term make_step_term(index, const term_scale& scale) { return squared_step_term(scale); }

/// The turns of the cosine regularizer: every layer counts alike.
inline turn_term make_even_turn_term(index layers, const term_scale& scale) {
  return {std::vector<double>(static_cast<std::size_t>(layers), 1.), scale};
}

/// The turns of JREG: Psi is half of 1 - c.
template <class Jreg>
auto jump_terms_of(const Jreg& regularizer) {
  return [&regularizer](index layers, const term_scale& scale) {
    std::vector<double> weights = regularizer.weights(layers);
    for (double& weight : weights) weight /= 2;
    return turn_term(std::move(weights), scale);
  };
}

}  // namespace detail

/// @file
/// Three regularizers with their gradients: MSE, cosine, JREG. What they have in common:
///
/// states: h_0 ... h_L, n_tokens x d each, L >= 1: any forward range of embedding matrices, as
/// hidden_states_view is one.
///
/// gradients: L + 1 writable matrices of the same shape and of any scalar type. The gradient of the value
/// with respect to every h_l is *added* to them, computed in double and rounded once (to infinity where that
/// is what the type rounds the sum to, as float16 does above 65504). They must not overlap the states.
///
/// mask: the tokens that take part, in the mean as in the sum. The rows of the others are not looked at, and
/// neither are their gradients.
///
/// layers: those whose step or turn takes part. The sums below are then over l = first, ..., last instead of
/// 1, ..., L, and JREG's softmax, too; no element of states and gradients other than h_{first-1} ... h_last
/// is looked at.
///
/// stop_gradient: h_{l-1}, or h_l, is held constant in the term of layer l when it is differentiated. The
/// value does not depend on it.
///
/// lambda may be set anew at every step of a training, as by linear_schedule.
///
/// Throws shape_error for fewer than two layers, for states, gradients, a mask or a range of layers that do
/// not fit each other; degenerate_input_error for empty matrices and for a mask that keeps no token;
/// non_finite_error for NaN or infinity in the states, for a lambda that is not finite, and for a value or a
/// gradient beyond the range of double. Whatever is within the range comes right, whatever the sizes of rows
/// and lambda. All this is found before anything is written, but for a row at fault (NaN, infinity, zeros
/// where an angle is asked for, a gradient beyond the range) and a value beyond the range: they are found
/// when their turn comes, in the one pass, and the gradients of other rows have been added by then. Throw
/// them away after an exception.
///
/// Costs one pass over the states, and one, to read and to write, over the gradients; the workspace is three
/// rows per thread. The same to the bit for any number of threads.

/// The MSE regularizer of arXiv 2405.12250: lambda * sum_{l=1}^{L} ||h_l - h_{l-1}||^2, which draws
/// neighbouring layers together. Mean (or sum) over tokens; the square of a row's norm is the sum over its d
/// dimensions.
///
/// Gradient with respect to h_l: 2 lambda ((h_l - h_{l-1}) - (h_{l+1} - h_l)), at both ends only the part
/// that exists, divided by the number of tokens for the mean. The value is >= 0 for lambda >= 0, in squared
/// units of the states. States that do not change from layer to layer give 0.
struct mse_regularizer {
  double lambda;                                                ///< weight, finite; the paper uses 0.5 and 2.0
  layerwise::reduction reduction = layerwise::reduction::mean;  ///< over tokens
  layer_range layers = {};                                      ///< that take part
  layerwise::stop_gradient stop_gradient = layerwise::stop_gradient::none;  ///< of two neighbours

  /// The value alone. Arguments, errors and cost: regularizer.hpp.
  double value(const hidden_states auto& states, const token_mask& mask = {}) const {
    return detail::regularize(*this, detail::make_step_term, mask, states);
  }
  /// Returns the value and adds its gradients.
  double value_and_gradient(const hidden_states auto& states, hidden_state_gradients auto&& gradients,
                            const token_mask& mask = {}) const {
    return detail::regularize(*this, detail::make_step_term, mask, states, gradients);
  }
};

/// The cosine regularizer of arXiv 2405.12250: lambda * sum_{l=1}^{L} (1 - cos(h_l, h_{l-1})), which turns
/// neighbouring layers towards each other. Mean (or sum) over tokens.
///
/// Gradient with respect to h_l: -lambda/||h_l|| * sum over both neighbours v of (v^ - c h^), where ^ is the
/// unit vector and c the cosine; it is orthogonal to h_l. What one neighbour adds has a relative error of a
/// few units of 1e-16 over the angle between them, and of 2e-14 at most, however small the angle is. The
/// value is in [0, 2 lambda L] (L: layers that take part) for the mean and lambda >= 0; states that do not
/// turn give 0. Also throws degenerate_input_error for a row of zeros, which has no direction.
struct cosine_regularizer {
  double lambda;                                                            ///< weight, finite; the paper uses 0.5
  layerwise::reduction reduction = layerwise::reduction::mean;              ///< over tokens
  layer_range layers = {};                                                  ///< that take part
  layerwise::stop_gradient stop_gradient = layerwise::stop_gradient::none;  ///< of two neighbours

  /// The value alone. Arguments, errors and cost: regularizer.hpp.
  double value(const hidden_states auto& states, const token_mask& mask = {}) const {
    return detail::regularize(*this, detail::make_even_turn_term, mask, states);
  }
  /// Returns the value and adds its gradients.
  double value_and_gradient(const hidden_states auto& states, hidden_state_gradients auto&& gradients,
                            const token_mask& mask = {}) const {
    return detail::regularize(*this, detail::make_even_turn_term, mask, states, gradients);
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
  layer_range layers = {};                                      ///< that take part; the softmax is over them
  layerwise::stop_gradient stop_gradient = layerwise::stop_gradient::none;  ///< of two neighbours

  /// w_1, ..., w_L for states h_0 ... h_L, L = last_layer; 0 for layers that take no part. Throws
  /// shape_error for a range of layers that do not exist (for any, where L < 1), non_finite_error for alpha
  /// NaN.
  std::vector<double> weights(index last_layer) const {
    if (std::isnan(alpha)) detail::fail<non_finite_error>("a number", detail::text(alpha), {.operand = "alpha"});
    const auto [first, last] = detail::resolve(layers, last_layer);
    const index largest = alpha > 0 ? last : first;
    std::vector<double> w(static_cast<std::size_t>(last_layer), 0.);
    double sum = 0;
    for (index l = first; l <= last; ++l) {
      // At the largest itself, infinity times 0 would be NaN.
      const double share = l == largest ? 1 : std::exp(alpha * static_cast<double>(l - largest));
      w[static_cast<std::size_t>(l - 1)] = share;
      sum += share;
    }
    for (double& weight : w) weight /= sum;
    return w;
  }

  /// The value alone. Arguments, errors and cost: regularizer.hpp.
  double value(const hidden_states auto& states, const token_mask& mask = {}) const {
    return detail::regularize(*this, detail::jump_terms_of(*this), mask, states);
  }
  /// Returns the value and adds its gradients.
  double value_and_gradient(const hidden_states auto& states, hidden_state_gradients auto&& gradients,
                            const token_mask& mask = {}) const {
    return detail::regularize(*this, detail::jump_terms_of(*this), mask, states, gradients);
  }
};

}  // namespace layerwise::inline LAYERWISE_ABI
