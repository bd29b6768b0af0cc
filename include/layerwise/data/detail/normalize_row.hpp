// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/epsilon_position.hpp>
#include <layerwise/kernel/row_sums.hpp>
#include <layerwise/kernel/scaling.hpp>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

// One row, normalized in place; and what is kept for all rows.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Multiplies a row by the power of two that makes its squares safe, and returns that. Throws non_finite_error.
inline double make_safe(double* x, index d, const place& at) {
  const double peak = peak_of(x, d);
  if (std::isnan(peak)) fail_non_finite(x, d, at);
  const double scale = safe_scale(peak);
  if (scale != 1.0)
    for (index j = 0; j < d; ++j) x[j] *= scale;
  return scale;
}

/// The mean of a row, of partial sums whose order depends on d alone.
inline double mean_of_row(const double* x, index d) {
  constexpr index parts = 8;
  double sums[parts] = {}, sum = 0.0;
  index j = 0;
  for (; j + parts <= d; j += parts)
    for (index k = 0; k < parts; ++k) sums[k] += x[j + k];
  for (; j < d; ++j) sum += x[j];
  for (index k = 0; k < parts; ++k) sum += sums[k];
  return sum / static_cast<double>(d);
}

/// What a row is divided by, besides its own size.
struct normalization_epsilon {
  double value;
  epsilon_position position;
};

/// Divides a row, which has been multiplied by `scale`, by the root mean square of its entries, with epsilon. Throws
/// degenerate_input_error where that is 0.
inline void divide_by_root_mean_square(double* x, index d, double scale, const normalization_epsilon& epsilon,
                                       std::string_view expected, const place& at) {
  const bool inside = epsilon.position == epsilon_position::inside_root;
  const double mean = sum_of_squares(x, d) / static_cast<double>(d);
  double divisor = inside ? std::sqrt(mean + epsilon.value * scale * scale) : std::sqrt(mean) + epsilon.value * scale;
  if (mean == 0.0 && epsilon.value > 0.0) return;  // zeros, over something
  if (mean == 0.0) fail<degenerate_input_error>(text(expected, ", or an epsilon above 0"), "neither", at);
  if (divisor > (std::numeric_limits<double>::max)()) {  // beside this epsilon the row is nothing
    for (index j = 0; j < d; ++j) x[j] /= scale;
    divisor = inside ? std::sqrt(epsilon.value) : epsilon.value;
  }
  for (index j = 0; j < d; ++j) x[j] /= divisor;
}

/// RMSNorm of rows.
struct rms_normalization {
  static constexpr std::string_view name = "rms_normalized";
  normalization_epsilon epsilon;
  Eigen::VectorXd gain;  ///< empty: 1

  void apply(double* x, index d, const place& at) const {
    const double scale = make_safe(x, d, at);
    divide_by_root_mean_square(x, d, scale, epsilon, "a row other than zero", at);
    if (gain.size() != 0)
      for (index j = 0; j < d; ++j) x[j] *= gain.data()[j];
  }
};

/// LayerNorm of rows.
struct layer_normalization {
  static constexpr std::string_view name = "layer_normalized";
  normalization_epsilon epsilon;
  Eigen::VectorXd gain, bias;  ///< empty: 1, 0

  void apply(double* x, index d, const place& at) const {
    const double scale = make_safe(x, d, at);
    // Twice: what rounding left of the mean is in the differences, exactly.
    for (int pass = 0; pass < 2; ++pass) {
      const double mean = mean_of_row(x, d);
      for (index j = 0; j < d; ++j) x[j] -= mean;
    }
    divide_by_root_mean_square(x, d, scale, epsilon, "a row of entries that differ", at);
    if (gain.size() != 0)
      for (index j = 0; j < d; ++j) x[j] *= gain.data()[j];
    if (bias.size() != 0)
      for (index j = 0; j < d; ++j) x[j] += bias.data()[j];
  }
};

/// Rows of Euclidean norm 1.
struct unit_normalization {
  static constexpr std::string_view name = "unit_normalized";

  void apply(double* x, index d, const place& at) const {
    make_safe(x, d, at);
    const double norm = std::sqrt(sum_of_squares(x, d));
    if (norm == 0.0) fail<degenerate_input_error>("a row other than zero", "a row of zeros", at);
    for (index j = 0; j < d; ++j) x[j] /= norm;
  }
};

inline normalization_epsilon checked_epsilon(double value, epsilon_position position, std::string_view name) {
  if (!(value >= 0.0 && value <= (std::numeric_limits<double>::max)()))
    fail<option_error>("an epsilon >= 0", text(value), {.operand = name});
  return {value, position};
}

/// The d values of a gain or a bias, a matrix of one row or one column.
template <embedding_matrix V>
Eigen::VectorXd read_weights(const V& weights, index d, std::string_view name) {
  const row_reader<V> reader(weights);
  const bool column = reader.cols() == 1;
  if (!(reader.rows() == d && column) && !(reader.rows() == 1 && reader.cols() == d))
    fail<shape_error>(text(d, " values, one for each dimension"), text(shape_of(reader)), {.operand = name});
  Eigen::VectorXd values(d);
  for (index i = 0; i < reader.rows(); ++i) reader.read(i, values.data() + i);
  if (std::isnan(peak_of(values.data(), d))) fail_non_finite(values.data(), d, {.operand = name});
  return values;
}

/// An Eigen::Ref. Its copies refer to what the first may have stored, and are dead with it.
template <class M>
concept eigen_ref = eigen_dense<M> && std::is_base_of_v<Eigen::RefBase<M>, M>;

/// A matrix that was given away, and its reader.
template <class M>
struct matrix_owner {
  explicit matrix_owner(M&& m) : matrix(std::move(m)), reader(matrix) {}
  explicit matrix_owner(const M& m) : matrix(m), reader(matrix) {}
  matrix_owner(const matrix_owner&) = delete;
  matrix_owner& operator=(const matrix_owner&) = delete;

  M matrix;
  row_reader<M> reader;
};
template <eigen_ref M>
struct matrix_owner<M> {
  explicit matrix_owner(const M& m) : plain(m), matrix(plain), reader(matrix) {}
  matrix_owner(const matrix_owner&) = delete;
  matrix_owner& operator=(const matrix_owner&) = delete;

  typename M::PlainObject plain;
  M matrix;
  row_reader<M> reader;
};

/// A reader that lives as long as the pointer, and so does the matrix, if it was given away.
template <class X, class M = std::remove_cvref_t<X>>
std::shared_ptr<const row_reader<M>> shared_reader(X&& x) {
  if constexpr (std::is_lvalue_reference_v<X> || is_view<M>) {
    return std::make_shared<const row_reader<M>>(x);
  } else {
    using owner = matrix_owner<M>;
    const auto both = std::make_shared<const owner>(std::forward<X>(x));
    return {both, &both->reader};
  }
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
