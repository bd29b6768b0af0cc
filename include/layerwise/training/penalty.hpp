// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/any_view.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/training/detail/term.hpp>
#include <layerwise/training/detail/walk.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <optional>
#include <ranges>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/// @file
/// What the regularizers mse_regularizer, cosine_regularizer and jreg_regularizer have in common. Each is a sum of
/// terms, one for each step from a layer to the next, and has the exact gradients of it.
///
/// states: h_0 ... h_L, n_tokens x d each, L >= 1: any forward range of embedding matrices, as hidden_states_view is
/// one.
///
/// gradients: L + 1 writable matrices of the same shape and of any scalar type. The gradient of the value with respect
/// to every h_l is *added* to them, computed in double and rounded once (to infinity where that is what the type rounds
/// the sum to, as float16 does above 65504). They must not overlap the states.
///
/// mask: the tokens that take part, in the mean as in the sum. The rows of the others are not looked at, and neither
/// are their gradients.
///
/// layers: those whose step or turn takes part. The sums are then over l = first, ..., last instead of 1, ..., L, and
/// JREG's softmax, too; no element of states and gradients other than h_{first-1} ... h_last is looked at.
///
/// stop_gradient: h_{l-1}, or h_l, is held constant in the term of layer l when it is differentiated. The value does
/// not depend on it.
///
/// lambda may be set anew at every step of a training, as by linear_schedule.
///
/// Throws shape_error for fewer than two layers, for states, gradients or a mask that do not fit each other;
/// option_error for a range of layers that do not exist; degenerate_input_error for empty matrices and for a mask that
/// keeps no token; non_finite_error for NaN or infinity in the states, for a lambda that is not finite, and for a value
/// or a gradient beyond the range of double. Whatever is within the range comes right, whatever the sizes of rows and
/// lambda. All this is found before anything is written, but for a row at fault (NaN, infinity, zeros where an angle is
/// asked for, a gradient beyond the range) and a value beyond the range: they are found when their turn comes, in the
/// one pass, and the gradients of other rows have been added by then. Throw them away after an exception.
///
/// Costs one pass over the states, and one, to read and to write, over the gradients; the workspace is three rows per
/// thread. The same to the bit for any number of threads.
namespace layerwise::inline LAYERWISE_ABI {

/// How a quantity per token becomes one number.
enum class reduction {
  mean,  ///< its mean over the tokens that take part
  sum,   ///< its sum over them
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

/// What penalty() takes: the four options that all regularizers have, and term(L, scale), which makes the term that
/// they sum up (training/detail/term.hpp).
template <class R>
concept regularizer = requires(const R& r, index last_layer, const detail::term_scale& scale) {
  { r.lambda } -> std::convertible_to<double>;
  { r.reduction } -> std::convertible_to<reduction>;
  { r.layers } -> std::convertible_to<layer_range>;
  { r.stop_gradient } -> std::convertible_to<stop_gradient>;
  r.term(last_layer, scale);
};

/// The value of a regularizer: lambda * sum over l of its term of h_l and h_{l-1}, the mean or the sum of that over
/// tokens. What the member value() gives.
template <regularizer R, hidden_states H>
double penalty(const R& r, const H& states, const token_mask& mask = {});

/// The value, and its derivative with respect to every h_l added to gradients[l]. What the member
/// value_and_gradient() does.
template <regularizer R, hidden_states H, hidden_state_gradients G>
double penalty_and_gradient(const R& r, const H& states, G&& gradients, const token_mask& mask = {});

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

/// First and last layer of the range, for states h_0 ... h_{layers}. Throws option_error unless they exist.
inline std::pair<index, index> resolve(const layer_range& range, index layers) {
  const std::pair<index, index> found{range.first, range.last.value_or(layers)};
  if (!(1 <= found.first && found.first <= found.second && found.second <= layers))
    fail<option_error>(text("layers 1 <= first <= last <= ", layers), text(found.first, " to ", found.second),
                       {.operand = "layers"});
  return found;
}

inline void require_finite(double value, std::string_view name) {
  if (!std::isfinite(value)) fail<non_finite_error>("a finite value", text(value), {.operand = name});
}

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

/// The layers and tokens that take part, of h_0 ... h_{layers}.
template <regularizer R>
walk_plan plan_walk(const R& r, const token_mask& mask, index layers, index tokens) {
  const auto [first, last] = resolve(r.layers, layers);
  walk_plan plan{.origin = first - 1,
                 .last = last,
                 .tokens = mask.rows(tokens),
                 .before_pulls = r.stop_gradient != stop_gradient::after,
                 .after_pulls = r.stop_gradient != stop_gradient::before};
  if (plan.tokens.empty())
    fail<degenerate_input_error>("a mask that keeps a token", text("0 of ", tokens), {.operand = "token_mask"});
  return plan;
}

/// lambda, over the number of tokens for the mean.
template <regularizer R>
term_scale scale_of(const R& r, std::size_t tokens) {
  term_scale scale;
  scale.mantissa = std::frexp(r.lambda, &scale.exponent);
  if (r.reduction == reduction::mean) scale.mantissa /= static_cast<double>(tokens);
  return scale;
}

/// penalty() without `gradients`, penalty_and_gradient() with them.
template <regularizer R, hidden_states H, hidden_state_gradients... G>
double regularize(const R& r, const H& states, const token_mask& mask, G&... gradients) {
  require_finite(r.lambda, "lambda");
  const auto readers = open_layers(states);
  const shape size = shape_of(readers.front());
  const auto writers = open_gradients(readers.size(), size, gradients...);
  const index layers = static_cast<index>(readers.size()) - 1;
  const walk_plan plan = plan_walk(r, mask, layers, size.rows);
  const term_scale scale = scale_of(r, plan.tokens.size());
  const scaled_sum sum = walk_tokens(readers, writers, plan, r.term(layers, scale));
  const double value = std::scalbn(scale.mantissa * sum.mantissa, sum.exponent + scale.exponent);
  if (!std::isfinite(value))
    fail<non_finite_error>("a value within the range of double", text(value), {.operand = "regularizer"});
  return value;
}

}  // namespace detail

template <regularizer R, hidden_states H>
double penalty(const R& r, const H& states, const token_mask& mask) {
  return detail::regularize(r, states, mask);
}

template <regularizer R, hidden_states H, hidden_state_gradients G>
double penalty_and_gradient(const R& r, const H& states, G&& gradients, const token_mask& mask) {
  return detail::regularize(r, states, mask, gradients);
}

}  // namespace layerwise::inline LAYERWISE_ABI
