// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/angle.hpp>
#include <layerwise/detail/parallel.hpp>
#include <layerwise/detail/rows.hpp>
#include <layerwise/embedding.hpp>
#include <layerwise/error.hpp>
#include <layerwise/token_mask.hpp>

#include <Eigen/Core>

#include <cmath>
#include <cstddef>
#include <limits>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

namespace layerwise {

/// How a quantity per token becomes one number: the mean over the tokens that take part, or their sum.
enum class reduction { mean, sum };

namespace detail {

inline place hidden_state_place(index layer, index token) {
  return {.operand = "hidden_states", .layer = layer, .row = token};
}

/// sum_l ||h_l - h_{l-1}||^2 of one token, and its gradients. Holds the workspace of one thread.
class squared_step_term {
 public:
  /// The value is a plain sum over tokens; the gradients are multiplied by `scale`.
  explicit squared_step_term(double scale) : scale_(scale) {}

  /// rows: L + 1 x d, the token's row in every layer. May change them.
  void measure(row_block& rows, index token, scaled_sum& total) {
    scale_of_rows_ = scale_;
    bool safe = true;
    for (index l = 1; l < rows.rows(); ++l) {
      const scaled_sum step =
          squared_distance(&rows(l - 1, 0), &rows(l, 0), rows.cols(), hidden_state_place(l - 1, token),
                           hidden_state_place(l, token));
      total.add(step);
      safe = safe && step.exponent < 2000;
    }
    if (safe) return;
    // Differences of differences of the largest numbers would overflow.
    rows /= 4;
    scale_of_rows_ *= 4;
  }

  /// out = the gradient with respect to h_l: 2 ((h_l - h_{l-1}) - (h_{l+1} - h_l)), at both ends only what
  /// exists.
  void gradient(const row_block& rows, index l, double* out) const {
    const double* here = &rows(l, 0);
    const double* before = l > 0 ? &rows(l - 1, 0) : here;
    const double* after = l + 1 < rows.rows() ? &rows(l + 1, 0) : here;
    const double factor = 2 * scale_of_rows_;
    for (index j = 0; j < rows.cols(); ++j) out[j] = factor * ((here[j] - before[j]) - (after[j] - here[j]));
  }

 private:
  double scale_, scale_of_rows_ = 0;
};

/// sum_l weight_l (1 - cos(h_{l-1}, h_l)) of one token, and its gradients. Holds the workspace of one thread.
class turn_term {
 public:
  /// weights[l - 1] is the weight of layer l. The gradients are multiplied by `scale`.
  turn_term(std::vector<double> weights, double scale)
      : weights_(std::move(weights)),
        scale_(scale),
        rows_(weights_.size() + 1),
        turns_(weights_.size() + 2) {}

  void measure(row_block& rows, index token, scaled_sum& total) {
    const index d = rows.cols();
    for (index l = 0; l < rows.rows(); ++l) {
      row& here = at(l);
      here = {sum_of_squares(&rows(l, 0), d), 0};
      if (!in_safe_range(here.squares)) {
        here.exponent = rescale_direction(&rows(l, 0), d, hidden_state_place(l, token));
        here.squares = sum_of_squares(&rows(l, 0), d);
      }
    }
    for (index l = 1; l < rows.rows(); ++l) {
      const row_angle angle = measure_angle(&rows(l - 1, 0), at(l - 1).squares, &rows(l, 0), at(l).squares, d,
                                            hidden_state_place(l - 1, token), hidden_state_place(l, token));
      const double weight = weights_[static_cast<std::size_t>(l - 1)];
      total.add(2 * weight * angle.displacement());
      turn(l) = {weight, angle.acute ? 1. : -1., angle.chord / 2};
    }
  }

  /// out = the gradient with respect to h = h_l. With u^ = u / ||u||, s the sign of the cosine c and E = 1 -
  /// |c|,
  ///
  ///     d(1 - c)/dh = -(v^ - c h^) / ||h|| = -((v^ - s h^) + s E h^) / ||h||
  ///
  /// for each neighbour v, where nothing cancels but in v^ - s h^, which is small only if the result is.
  void gradient(const row_block& rows, index l, double* out) const {
    const row& own = at(l);
    const double* here = &rows(l, 0);
    const double* before = l > 0 ? &rows(l - 1, 0) : here;
    const double* after = l + 1 < rows.rows() ? &rows(l + 1, 0) : here;
    const turned &in = turn(l), &next = turn(l + 1);  // of weight 0 at both ends
    const double stretch_before = l > 0 ? std::sqrt(own.squares / at(l - 1).squares) : 1;
    const double stretch_after = l + 1 < rows.rows() ? std::sqrt(own.squares / at(l + 1).squares) : 1;
    const double factor = -scale_ / own.squares;
    const double factor_in = factor * in.weight, factor_next = factor * next.weight;
    const double along = factor_in * in.sign * in.shortfall + factor_next * next.sign * next.shortfall;
    const double sign_in = in.sign, sign_next = next.sign;
    for (index j = 0; j < rows.cols(); ++j)
      out[j] = factor_in * (stretch_before * before[j] - sign_in * here[j]) +
               factor_next * (stretch_after * after[j] - sign_next * here[j]) + along * here[j];
    if (own.exponent != 0)
      for (index j = 0; j < rows.cols(); ++j) out[j] = std::scalbn(out[j], -own.exponent);
  }

 private:
  struct row {
    double squares = 0;  ///< of the row divided by 2^exponent
    int exponent = 0;
  };
  struct turned {
    double weight = 0, sign = 1;
    double shortfall = 0;  ///< 1 - |c|
  };

  row& at(index l) { return rows_[static_cast<std::size_t>(l)]; }
  const row& at(index l) const { return rows_[static_cast<std::size_t>(l)]; }
  turned& turn(index l) { return turns_[static_cast<std::size_t>(l)]; }
  const turned& turn(index l) const { return turns_[static_cast<std::size_t>(l)]; }

  std::vector<double> weights_;
  double scale_;
  std::vector<row> rows_;
  std::vector<turned> turns_;  ///< [l]: from h_{l-1} to h_l
};

/// row `token` of m += values, rounded once to m's scalar type
template <class T>
void add_to_row(const strided_view<T>& m, index token, const double* values) {
  T* to = m.data() + token * m.row_stride();
  const index cols = m.cols(), stride = m.col_stride();
  if (stride == 1)
    for (index j = 0; j < cols; ++j) to[j] = static_cast<T>(static_cast<double>(to[j]) + values[j]);
  else
    for (index j = 0; j < cols; ++j)
      to[j * stride] = static_cast<T>(static_cast<double>(to[j * stride]) + values[j]);
}

/// No gradients are asked for.
inline std::vector<strided_view<double>> open_gradients(std::size_t, const shape&) { return {}; }

/// One writable view per layer. Throws shape_error unless there are `layers` of them, of the shape given.
template <hidden_state_gradients G>
auto open_gradients(std::size_t layers, const shape& expected, G& gradients) {
  using matrix = std::remove_reference_t<std::ranges::range_reference_t<G>>;
  std::vector<strided_view<element<matrix>>> views;
  for (auto&& m : gradients) {
    views.push_back(view_of(m));
    require_equal_shape(expected, {views.back().rows(), views.back().cols()},
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
  const double scale = how == reduction::mean ? lambda / static_cast<double>(kept) : lambda;
  const auto term_of_all = make_term(static_cast<index>(layers.size()) - 1, scale);
  std::vector<scaled_sum> partial(static_cast<std::size_t>((kept + chunk - 1) / chunk));
  parallel_chunks(kept, chunk, [&](index first, index count) {
    auto term = term_of_all;
    scaled_sum sum;
    row_block rows(static_cast<index>(layers.size()), size.cols);
    Eigen::VectorXd gradient(size.cols);
    for (index i = first; i < first + count; ++i) {
      const index token = tokens[static_cast<std::size_t>(i)];
      for (std::size_t l = 0; l < layers.size(); ++l) layers[l].read(token, &rows(static_cast<index>(l), 0));
      term.measure(rows, token, sum);
      for (std::size_t l = 0; l < writers.size(); ++l) {
        term.gradient(rows, static_cast<index>(l), gradient.data());
        add_to_row(writers[l], token, gradient.data());
      }
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

// What the three regularizers have in common:
//
// states: h_0 ... h_L, n_tokens x d each, L >= 1: any forward range of embedding matrices, hidden_states_view
// included. gradients: L + 1 writable matrices of the same shape and of any scalar type. The gradient of the
// value with respect
//   to every h_l is *added* to them, computed in double and rounded once. They must not overlap the states.
// mask: the tokens that take part, in the mean as in the sum. The rows of the others are not looked at, and
// neither
//   are their gradients.
//
// Throws shape_error for fewer than two layers, for states, gradients or a mask that do not fit each other;
// degenerate_input_error for empty matrices and for a mask that keeps no token; non_finite_error for NaN or
// infinity in the states and for a lambda that is not finite. All but the faults of single rows are found
// before anything is written. A faulty row is found when its token's turn comes: of that token nothing is
// written, of others the gradients may have been added, so after an exception they are to be thrown away.
//
// Costs one pass over the states (and one, to read and to write, over the gradients), with a workspace of L +
// 1 rows per thread. The same to the bit for any number of threads.

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
  layerwise::reduction reduction = layerwise::reduction::mean;

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
  double lambda;  ///< weight, finite; the paper uses 0.5
  layerwise::reduction reduction = layerwise::reduction::mean;

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
  layerwise::reduction reduction = layerwise::reduction::mean;

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
