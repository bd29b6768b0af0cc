// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/bounded.hpp>
#include <layerwise/kernel/householder.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/svd.hpp>
#include <layerwise/statistics/detail/accumulator.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

/// @file
/// The singular values of a matrix of weights, and its condition number.
namespace layerwise::inline LAYERWISE_ABI {

/// The singular values sigma_1 >= sigma_2 >= ... of a matrix as it is, nothing centred.
struct singular_spectrum_result {
  Eigen::VectorXd singular_values;  ///< descending, min(n, d) of them, in the data's own units
  double error_bound = 0.0;         ///< |each - the exact one| is at most this, as rounding_of_svd() has it
  double condition = 0.0;           ///< sigma_1 / sigma_min(n, d), >= 1; infinite where rank < min(n, d)
  double condition_error = 0.0;     ///< of the condition; infinite where the last value may be 0
  double stable_rank = 0.0;         ///< sum sigma^2 / sigma_1^2, in [1, min(n, d)]
  double frobenius_norm = 0.0;      ///< (sum sigma^2)^(1/2)
  index rank = 0;                   ///< values above max(n, d) 2.2e-16 sigma_1, the tolerance of MATLAB and numpy
  index tokens = 0;                 ///< n: rows that took part
  index dimensions = 0;             ///< d
};

/// The numbers of a singular spectrum; the values, which are many, are not among them.
template <>
inline constexpr auto fields<singular_spectrum_result> = field_list(
    field{"error_bound", &singular_spectrum_result::error_bound, "how far rounding can have moved a singular value"},
    field{"condition", &singular_spectrum_result::condition, "ratio of the first singular value to the last"},
    field{"condition_error", &singular_spectrum_result::condition_error, "its bound"},
    field{"stable_rank", &singular_spectrum_result::stable_rank, "sum sigma^2 / sigma_1^2"},
    field{"frobenius_norm", &singular_spectrum_result::frobenius_norm, "root of the sum of squares"},
    field{"rank", &singular_spectrum_result::rank, "singular values that can be told from rounding"},
    field{"tokens", &singular_spectrum_result::tokens, "rows that took part"},
    field{"dimensions", &singular_spectrum_result::dimensions, "columns of X"});

namespace detail {

/// The singular values of a matrix divided by 2^power, whose largest entry is then in [1, 2).
struct scaled_spectrum {
  Eigen::VectorXd values;
  int power = 0;
  double norm = 0.0;  ///< Frobenius, of the scaled matrix
  index rows = 0, cols = 0;

  double error() const { return rounding_of_svd(rows, cols, norm); }
  double first() const { return values[0]; }
  double last() const { return values[values.size() - 1]; }
  index rank() const {
    const double size = static_cast<double>((std::max)(rows, cols));
    const double tolerance = size * std::numeric_limits<double>::epsilon() * first();
    return std::count_if(values.data(), values.data() + values.size(), [&](double s) { return s > tolerance; });
  }
  /// sigma_1 / sigma_min(n, d)
  bounded condition() const {
    if (rank() < values.size()) return {HUGE_VAL, HUGE_VAL};
    return bounded{first(), error()} / bounded{last(), error()};
  }
};

/// The rows as the columns of a matrix, or as its rows, whatever makes it no wider than high.
template <std::same_as<row_source> Source>
matrix upright(const Source& rows, index d) {
  const index n = rows.size(), most = 64;  // rows at a time
  require_tokens(n, {.operand = "X"});
  matrix out((std::max)(n, d), (std::min)(n, d));
  row_block block((std::min)(n, most), d);
  for (index first = 0; first < n; first += most) {
    const index count = (std::min)(most, n - first);
    rows.read(0, first, count, block.data(), d);
    for (index i = 0; i < count; ++i) fail_non_finite(&block(i, 0), d, rows.place_of(0, first + i));
    for (index j = 0; j < d; ++j)
      for (index i = 0; i < count; ++i) (n < d ? out(j, first + i) : out(first + i, j)) = block(i, j);
  }
  return out;
}

/// A matrix of many rows is reduced to the triangle of its QR first: a rotation, which leaves singular values as they
/// are, and costs 2 n d^2 on all threads instead of 4 n d^2 on one.
template <std::same_as<row_source> Source>
scaled_spectrum spectrum_of_rows(const Source& rows, index d) {
  matrix a = upright(rows, d);
  const double peak = peak_of(a.data(), a.size());
  if (peak == 0.0) fail<degenerate_input_error>("a matrix that is not zero", text(shape_of(a)), {.operand = "X"});
  scaled_spectrum out{{}, std::ilogb(peak), 0.0, a.rows(), a.cols()};
  double* const entries = a.data();
  for (index k = 0; k < a.size(); ++k) entries[k] = std::scalbn(entries[k], -out.power);
  if (a.rows() > a.cols()) {
    reduce_to_triangle(a, a.cols());
    a.conservativeResize(a.cols(), Eigen::NoChange);
    for (index j = 0; j < a.cols(); ++j)
      for (index i = j + 1; i < a.rows(); ++i) a(i, j) = 0.0;
  }
  out.values = decompose<singular_vectors::none>(a).values;
  for (index k = 0; k < out.values.size(); ++k) out.norm += out.values[k] * out.values[k];
  out.norm = std::sqrt(out.norm);
  return out;
}

template <embedding_matrix X>
scaled_spectrum spectrum_of_matrix(const X& x, const token_mask& mask) {
  const row_reader rows(x);
  require_not_empty(rows, {.operand = "X"});
  const std::vector<index> tokens = mask.rows(rows.rows());
  return spectrum_of_rows(layer_source(rows, tokens), rows.cols());
}

}  // namespace detail

/// The singular values of X, and what they say of it: condition, rank, stable rank, norm. Those of nGPT's figures 5, 11
/// and 12 (arXiv 2410.01131), of the matrices of attention and MLP. spectrum() is of tokens: centred, from moments, and
/// its condition that of the directions above rounding.
///
/// x: n x d, of any scalar type, layout and shape; mask: the rows that take part. Only the condition, the rank and the
/// stable rank do not depend on the scale of X; nothing on a rotation of its rows or columns.
///
/// From a QR and an SVD, not from eigenvalues of X^T X, in which values below 1e-8 sigma_1 are lost: a condition c is
/// good to about c 1e-16 of itself. Above 4.5e15 / max(n, d) the matrix counts as one of lower rank, whose condition is
/// infinite: no error. Throws degenerate_input_error for an empty matrix and one of zeros; non_finite_error for NaN and
/// infinity, and for a norm beyond the range of double, whose condition_number() can be had. Costs 2 n d^2 flops and
/// 3 d^3 on one thread, d being the smaller one, and memory for X in double.
template <embedding_matrix X>
singular_spectrum_result singular_spectrum(const X& x, const token_mask& mask = {}) {
  detail::scaled_spectrum s = detail::spectrum_of_matrix(x, mask);
  const bool is_upright = detail::row_reader(x).cols() == s.cols;
  singular_spectrum_result out;
  const detail::bounded condition = s.condition();
  out.condition = condition.value, out.condition_error = condition.error;
  out.rank = s.rank();
  out.stable_rank = std::clamp((s.norm / s.first()) * (s.norm / s.first()), 1.0, static_cast<double>(s.cols));
  out.error_bound = std::scalbn(s.error(), s.power) + std::numeric_limits<double>::denorm_min();
  out.frobenius_norm = std::scalbn(s.norm, s.power);
  if (!std::isfinite(out.frobenius_norm))
    detail::fail<non_finite_error>("a norm within the range of double", detail::text(out.frobenius_norm),
                                   {.operand = "X"});
  for (index k = 0; k < s.values.size(); ++k) s.values[k] = std::scalbn(s.values[k], s.power);
  out.singular_values = std::move(s.values);
  out.tokens = is_upright ? s.rows : s.cols;
  out.dimensions = is_upright ? s.cols : s.rows;
  return out;
}

/// sigma_1 / sigma_min(n, d), as singular_spectrum(x, mask) has it, whatever the magnitude of X: 1 for a rotation, infinite
/// for a matrix of lower rank. nGPT's figure 5 (arXiv 2410.01131); where heads are blocks of rows or columns, it has the
/// median of theirs. Throws and costs as singular_spectrum(), norms aside.
template <embedding_matrix X>
double condition_number(const X& x, const token_mask& mask = {}) {
  return detail::spectrum_of_matrix(x, mask).condition().value;
}

}  // namespace layerwise::inline LAYERWISE_ABI
