// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/normalize_row.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/epsilon_position.hpp>

#include <Eigen/Core>

#include <memory>
#include <type_traits>
#include <utility>

/// @file
/// Hidden states as a normalization layer leaves them: RMSNorm, LayerNorm, rows of unit length.
namespace layerwise::inline LAYERWISE_ABI {

/// An embedding matrix whose rows are those of another one, normalized in double when they are read; nothing is
/// stored. What rms_normalized(), layer_normalized() and unit_normalized() return, for any metric and any range of
/// hidden states:
///
///     linearity_score(rms_normalized(x), rms_normalized(y));
///
/// Copies share what they read. A matrix that is passed as an lvalue, or as a view, is only referred to and must live
/// on; one that is passed as a temporary is moved into it.
template <embedding_matrix X, class Normalization>
class normalized_rows {
 public:
  normalized_rows(std::shared_ptr<const detail::row_reader<X>> reader, Normalization how)
      : reader_(std::move(reader)), how_(std::make_shared<const Normalization>(std::move(how))) {}

  index rows() const { return reader_->rows(); }
  index cols() const { return reader_->cols(); }

  /// Row i, normalized: cols() values to out. Throws non_finite_error and degenerate_input_error with the row.
  void read_row(index i, double* out) const {
    reader_->read(i, out);
    how_->apply(out, cols(), {.operand = Normalization::name, .row = i});
  }

  /// All of it, in memory: Eigen::MatrixXd m = unit_normalized(x). Throws as read_row().
  template <int Order>
  operator Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Order>() const {
    row_matrix out(rows(), cols());
    for (index i = 0; i < rows(); ++i) read_row(i, out.data() + i * cols());
    return out;
  }

 private:
  std::shared_ptr<const detail::row_reader<X>> reader_;
  std::shared_ptr<const Normalization> how_;
};

template <class X, class Normalization>
struct embedding_traits<normalized_rows<X, Normalization>> {
  static constexpr bool is_view = true;
  static index rows(const normalized_rows<X, Normalization>& m) { return m.rows(); }
  static index cols(const normalized_rows<X, Normalization>& m) { return m.cols(); }
  static void read_row(const normalized_rows<X, Normalization>& m, index i, double* out) { m.read_row(i, out); }
};

/// RMSNorm without a gain (Zhang and Sennrich 2019, arXiv 1910.07467): each row x of X as
///
///     x / sqrt(mean_j x_j^2 + epsilon),  or x / (sqrt(mean_j x_j^2) + epsilon) with epsilon_position::outside_root
///
/// x: n_tokens x d. The result is an n_tokens x d embedding matrix, whose rows have the root mean square 1 where
/// epsilon is small beside them. epsilon: in the units of x^2 (inside the root), by default 1e-6, as T5, Qwen and nGPT
/// have it (LLaMA: 1e-6, from version 2 on 1e-5; the code of Zhang and Sennrich: 1e-8, outside). Rows of any finite
/// size come right. A row of zeros stays one, but with an epsilon of 0 it is a degenerate_input_error, when it is read;
/// NaN or infinity in X then is a non_finite_error. Throws option_error unless epsilon >= 0. Costs O(d) whenever a row
/// is read.
template <class X>
requires embedding_matrix<std::remove_cvref_t<X>>
auto rms_normalized(X&& x, double epsilon = 1e-6, epsilon_position position = epsilon_position::inside_root) {
  using normalization = detail::rms_normalization;
  return normalized_rows<std::remove_cvref_t<X>, normalization>(
      detail::shared_reader(std::forward<X>(x)),
      normalization{detail::checked_epsilon(epsilon, position, normalization::name), {}});
}

/// RMSNorm with its gain: rms_normalized(x, epsilon) with dimension j multiplied by g_j.
///
/// gain: d values, an embedding matrix of one row or one column (an Eigen vector; Eigen::Map of a pointer). It is
/// copied. Gemma multiplies by 1 + g: pass (gain.array() + 1).matrix(). Throws shape_error for another number of
/// values, non_finite_error for NaN or infinity among them.
template <class X, embedding_matrix Gain>
requires embedding_matrix<std::remove_cvref_t<X>>
auto rms_normalized(X&& x, const Gain& gain, double epsilon = 1e-6,
                    epsilon_position position = epsilon_position::inside_root) {
  using normalization = detail::rms_normalization;
  auto reader = detail::shared_reader(std::forward<X>(x));
  normalization how{detail::checked_epsilon(epsilon, position, normalization::name),
                    detail::read_weights(gain, reader->cols(), "gain")};
  return normalized_rows<std::remove_cvref_t<X>, normalization>(std::move(reader), std::move(how));
}

/// LayerNorm without gain and bias (Ba et al. 2016, arXiv 1607.06450): each row x of X, with m its mean, as
///
///     (x - m) / sqrt(mean_j (x_j - m)^2 + epsilon),  or epsilon outside the root
///
/// x: n_tokens x d. The result is an n_tokens x d embedding matrix, whose rows have mean 0 and variance 1 where epsilon
/// is small beside it. epsilon: by default 1e-5, that of PyTorch and GPT-2 (BERT: 1e-12, JAX: 1e-6). Rows of any finite
/// size and offset come right. A row of equal entries becomes one of zeros, but with an epsilon of 0 it is a
/// degenerate_input_error, when it is read. Otherwise throws and costs as rms_normalized().
template <class X>
requires embedding_matrix<std::remove_cvref_t<X>>
auto layer_normalized(X&& x, double epsilon = 1e-5, epsilon_position position = epsilon_position::inside_root) {
  using normalization = detail::layer_normalization;
  return normalized_rows<std::remove_cvref_t<X>, normalization>(
      detail::shared_reader(std::forward<X>(x)),
      normalization{detail::checked_epsilon(epsilon, position, normalization::name), {}, {}});
}

/// LayerNorm with its gain and bias: layer_normalized(x, epsilon) with dimension j multiplied by g_j, then b_j added.
///
/// gain, bias: d values each, as rms_normalized() takes its gain.
template <class X, embedding_matrix Gain, embedding_matrix Bias>
requires embedding_matrix<std::remove_cvref_t<X>>
auto layer_normalized(X&& x, const Gain& gain, const Bias& bias, double epsilon = 1e-5,
                      epsilon_position position = epsilon_position::inside_root) {
  using normalization = detail::layer_normalization;
  auto reader = detail::shared_reader(std::forward<X>(x));
  normalization how{detail::checked_epsilon(epsilon, position, normalization::name),
                    detail::read_weights(gain, reader->cols(), "gain"),
                    detail::read_weights(bias, reader->cols(), "bias")};
  return normalized_rows<std::remove_cvref_t<X>, normalization>(std::move(reader), std::move(how));
}

/// Each row divided by its Euclidean norm: x / ||x||, the Norm of nGPT (arXiv 2410.01131), which puts hidden states on
/// the unit sphere. Of moments of such rows, cosine statistics come.
///
/// x: n_tokens x d. The result is an n_tokens x d embedding matrix. Rows of any finite size come right. A row of zeros
/// is a degenerate_input_error, NaN or infinity a non_finite_error, when the row is read. Costs O(d) whenever one is.
template <class X>
requires embedding_matrix<std::remove_cvref_t<X>>
auto unit_normalized(X&& x) {
  return normalized_rows<std::remove_cvref_t<X>, detail::unit_normalization>(detail::shared_reader(std::forward<X>(x)),
                                                                             detail::unit_normalization{});
}

}  // namespace layerwise::inline LAYERWISE_ABI
