// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/fields.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/metrics/detail/layer_variance.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/layer_moments.hpp>
#include <layerwise/statistics/scatter.hpp>

#include <Eigen/Core>

#include <cmath>
#include <concepts>
#include <limits>
#include <numeric>

/// @file
/// The spectrum of one layer, and how many directions it takes up by the field's measures: anisotropy, stable rank,
/// participation ratio, effective rank, matrix entropy, condition.
///
/// lambda_1 >= lambda_2 >= ... are the eigenvalues of X^T X, X being n_tokens x d with its columns centred unless the
/// options say otherwise, and sigma = sqrt(lambda) the singular values of X. No measure here but the eigenvalues depends
/// on the scale of X, and none on a rotation of it.
///
/// Each function is one of a matrix, of layer_moments, and of a scatter.
namespace layerwise::inline LAYERWISE_ABI {

/// What a spectrum is of.
struct spectrum_options {
  /// columns: of the covariance, as arXiv 2311.05928 has it. none: of sums about 0, as arXiv 2502.02013 and RankMe
  /// (arXiv 2210.02885) have it; the mean then counts as a direction.
  layerwise::centering centering = layerwise::centering::columns;
};

/// The spectrum of a layer. Each number is followed by how far rounding can have moved it: |number - that of the given
/// data, exactly| is at most its error.
struct spectrum_result {
  /// Of the covariance, descending, d of them: lambda_k / (n - 1), or lambda_k / n where nothing is centred; in squared
  /// units of the data. What is not above error_bound is 0.
  Eigen::VectorXd eigenvalues;
  double error_bound = 0.0;  ///< of each of the eigenvalues
  double anisotropy = 0.0;   ///< lambda_1 / sum lambda, in [1/d, 1]
  double anisotropy_error = 0.0;
  double stable_rank = 0.0;  ///< sum lambda / lambda_1, in [1, d]
  double stable_rank_error = 0.0;
  double participation_ratio = 0.0;  ///< (sum lambda)^2 / sum lambda^2, in [1, d]
  double participation_ratio_error = 0.0;
  double effective_rank = 0.0;  ///< exp(-sum p ln p), p = sigma / sum sigma, in [1, d]
  double effective_rank_error = 0.0;
  double matrix_entropy = 0.0;  ///< -sum p ln p, p = lambda / sum lambda, in [0, ln d]
  double matrix_entropy_error = 0.0;
  double condition = 0.0;  ///< sigma_1 / sigma_rank, >= 1
  double condition_error = 0.0;
  index rank = 0;  ///< the eigenvalues that are certainly not 0
  index tokens = 0;
  index dimensions = 0;  ///< d
};

/// The numbers of a spectrum; the eigenvalues, which are many, are not among them.
template <>
inline constexpr auto fields<spectrum_result> = field_list(
    field{"error_bound", &spectrum_result::error_bound, "how far rounding can have moved an eigenvalue"},
    field{"anisotropy", &spectrum_result::anisotropy, "share of the first direction in the variance"},
    field{"anisotropy_error", &spectrum_result::anisotropy_error, "its bound"},
    field{"stable_rank", &spectrum_result::stable_rank, "variance in units of that of the first direction"},
    field{"stable_rank_error", &spectrum_result::stable_rank_error, "its bound"},
    field{"participation_ratio", &spectrum_result::participation_ratio, "(sum lambda)^2 / sum lambda^2"},
    field{"participation_ratio_error", &spectrum_result::participation_ratio_error, "its bound"},
    field{"effective_rank", &spectrum_result::effective_rank, "exp of the entropy of the singular values"},
    field{"effective_rank_error", &spectrum_result::effective_rank_error, "its bound"},
    field{"matrix_entropy", &spectrum_result::matrix_entropy, "entropy of the eigenvalues, in nats"},
    field{"matrix_entropy_error", &spectrum_result::matrix_entropy_error, "its bound"},
    field{"condition", &spectrum_result::condition, "ratio of the first singular value to the last that is not 0"},
    field{"condition_error", &spectrum_result::condition_error, "its bound"},
    field{"rank", &spectrum_result::rank, "eigenvalues that are certainly not 0"},
    field{"tokens", &spectrum_result::tokens, "that took part"},
    field{"dimensions", &spectrum_result::dimensions, "columns of X"});

namespace detail {

/// The eigenvalues as those of the covariance, in the data's own units.
template <class Spectrum>
void set_eigenvalues(spectrum_result& out, const Spectrum& of, const layer_variance& v, const scatter& s) {
  const double freedom = static_cast<double>(s.degrees_of_freedom());
  const int power = v.exponent - 2 * std::ilogb(s.x_scale);
  const auto own = [&](double value) { return std::scalbn(value / freedom, power); };
  out.eigenvalues = of.values();
  for (index k = 0; k < out.eigenvalues.size(); ++k) out.eigenvalues[k] = own(out.eigenvalues[k]);
  const double first = out.eigenvalues[0];
  if (!(std::isnormal(first)))
    fail<non_finite_error>("data whose variance is within the range of double", text("a variance of ", first),
                           {.operand = "X"});
  out.error_bound = own(of.error()) + 2.0 * unit_roundoff * first + std::numeric_limits<double>::denorm_min();
}

}  // namespace detail

/// The spectrum of second moments about the means, or about 0, as they are; of a pair's, that of X.
///
/// Throws degenerate_input_error where X has no variance beyond rounding (about 0: where it is zero), non_finite_error
/// where the variance in the data's own units is beyond the range of double: the measures that do not depend on the
/// scale, below, can still be had. Costs 4/3 d^3 flops and 55 d^2 divisions.
///
/// The rank is at most n - 1 (n about 0), and the different rows, less 1. An eigenvalue below error_bound counts as 0
/// in everything.
template <std::same_as<scatter> Scatter>
spectrum_result spectrum(const Scatter& s) {
  const detail::layer_variance variance(s);
  const detail::layer_spectrum of(variance);
  spectrum_result out;
  detail::set_eigenvalues(out, of, variance, s);
  const auto set = [](const detail::bounded& from, double& value, double& error) {
    value = from.value, error = from.error;
  };
  set(of.anisotropy(), out.anisotropy, out.anisotropy_error);
  set(of.stable_rank(), out.stable_rank, out.stable_rank_error);
  set(variance.participation_ratio(), out.participation_ratio, out.participation_ratio_error);
  set(of.effective_rank(), out.effective_rank, out.effective_rank_error);
  set(of.entropy(1.0), out.matrix_entropy, out.matrix_entropy_error);
  set(of.condition(), out.condition, out.condition_error);
  out.rank = of.rank();
  out.tokens = s.tokens, out.dimensions = s.x_dimensions();
  return out;
}

/// Of accumulated moments. Throws degenerate_input_error for no tokens, too.
template <std::same_as<layer_moments> Moments>
spectrum_result spectrum(const Moments& moments, const spectrum_options& options = {}) {
  return spectrum(moments.scatter(options.centering));
}

namespace detail {

template <embedding_matrix X>
scatter scatter_of(const X& x, const spectrum_options& options, const token_mask& mask) {
  layer_moments moments;
  moments.add(x, mask);
  return moments.scatter(options.centering);
}

}  // namespace detail

/// Of a matrix x: n_tokens x d, of any scalar type and layout; mask: the tokens that take part. Throws as
/// layer_moments::add. Costs n d^2 flops more.
template <embedding_matrix X>
spectrum_result spectrum(const X& x, const spectrum_options& options = {}, const token_mask& mask = {}) {
  return spectrum(detail::scatter_of(x, options, mask));
}

/// lambda_k over their median, descending: how far the spectrum is from that of a ball, which has ones. Of embeddings the
/// middle panel of nGPT's figure 4 (arXiv 2410.01131). The median of an even number is the mean of the two in the middle.
/// Throws degenerate_input_error where it is 0, as it is where the rank is less than half of d, and without eigenvalues.
template <std::same_as<spectrum_result> Spectrum>
Eigen::VectorXd eigenvalues_over_median(const Spectrum& s) {
  const index d = s.eigenvalues.size();
  const double median = d > 0 ? std::midpoint(s.eigenvalues[d / 2], s.eigenvalues[(d - 1) / 2]) : 0.0;
  if (!(median > 0.0))
    detail::fail<degenerate_input_error>("a median of the eigenvalues above 0", detail::text("a rank of ", s.rank),
                                         {.operand = "X"});
  Eigen::VectorXd ratios(d);
  for (index k = 0; k < d; ++k) ratios[k] = s.eigenvalues[k] / median;
  return ratios;
}

/// lambda_1 / sum lambda, the share of the first direction in the variance (Razzhigaev et al., arXiv 2311.05928). In
/// [1/d, 1]: 1/d for a ball, 1 for a line. Throws degenerate_input_error without variance beyond rounding. Costs as
/// spectrum(), but for the divisions.
template <std::same_as<scatter> Scatter>
double anisotropy(const Scatter& s) {
  return detail::layer_spectrum(detail::layer_variance(s), 1).anisotropy().value;
}

/// sum lambda / lambda_1 = ||X||_F^2 / ||X||_2^2 (Rudelson and Vershynin, arXiv math/0503442), 1 / anisotropy. In
/// [1, d]. Throws and costs as anisotropy().
template <std::same_as<scatter> Scatter>
double stable_rank(const Scatter& s) {
  return detail::layer_spectrum(detail::layer_variance(s), 1).stable_rank().value;
}

/// (sum lambda)^2 / sum lambda^2, the number of equal directions with as much variance and as large a sum of its
/// squares. In [1, d]. No eigenvalue is needed: it is (tr X^T X)^2 / ||X^T X||_F^2, and costs O(d^2). Throws
/// degenerate_input_error without variance beyond rounding.
template <std::same_as<scatter> Scatter>
double participation_ratio(const Scatter& s) {
  return detail::layer_variance(s).participation_ratio().value;
}

/// exp(-sum p ln p) with p = sigma / sum sigma (Roy and Vetterli, The effective rank, 2007): of the singular values, not of
/// their squares, which is exp(matrix_entropy()), the smaller one. RankMe (arXiv 2210.02885) is this of
/// centering::none, but for 1e-7 that it adds to each p. In [1, d]. Throws and costs as spectrum(), scale aside.
///
/// A direction that rounding hides has less than sqrt(error_bound) of sigma, and may still count: spectrum() tells how
/// much, in effective_rank_error.
template <std::same_as<scatter> Scatter>
double effective_rank(const Scatter& s) {
  return detail::layer_spectrum(detail::layer_variance(s)).effective_rank().value;
}

/// The matrix-based entropy S_alpha = ln(sum p^alpha) / (1 - alpha), p = lambda / sum lambda, in nats; alpha = 1: -sum p
/// ln p; alpha = 2: ln(participation_ratio()), at its cost (arXiv 2502.02013, which has centering::none). In [0, ln d].
/// Throws option_error unless alpha is finite and above 0, else as spectrum(), scale aside.
template <std::same_as<scatter> Scatter>
double matrix_entropy(const Scatter& s, double alpha = 1.0) {
  if (!(alpha > 0.0 && std::isfinite(alpha)))
    detail::fail<option_error>("a finite alpha > 0", detail::text(alpha), {.operand = "matrix_entropy"});
  const detail::layer_variance variance(s);
  if (alpha == 2.0) return std::log(variance.participation_ratio().value);
  return detail::layer_spectrum(variance).entropy(alpha).value;
}

/// Each of them of accumulated moments.
template <std::same_as<layer_moments> Moments>
double anisotropy(const Moments& moments, const spectrum_options& options = {}) {
  return anisotropy(moments.scatter(options.centering));
}
template <std::same_as<layer_moments> Moments>
double stable_rank(const Moments& moments, const spectrum_options& options = {}) {
  return stable_rank(moments.scatter(options.centering));
}
template <std::same_as<layer_moments> Moments>
double participation_ratio(const Moments& moments, const spectrum_options& options = {}) {
  return participation_ratio(moments.scatter(options.centering));
}
template <std::same_as<layer_moments> Moments>
double effective_rank(const Moments& moments, const spectrum_options& options = {}) {
  return effective_rank(moments.scatter(options.centering));
}
template <std::same_as<layer_moments> Moments>
double matrix_entropy(const Moments& moments, double alpha = 1.0, const spectrum_options& options = {}) {
  return matrix_entropy(moments.scatter(options.centering), alpha);
}

/// And of a matrix, as spectrum() of one: n d^2 flops more.
template <embedding_matrix X>
double anisotropy(const X& x, const spectrum_options& options = {}, const token_mask& mask = {}) {
  return anisotropy(detail::scatter_of(x, options, mask));
}
template <embedding_matrix X>
double stable_rank(const X& x, const spectrum_options& options = {}, const token_mask& mask = {}) {
  return stable_rank(detail::scatter_of(x, options, mask));
}
template <embedding_matrix X>
double participation_ratio(const X& x, const spectrum_options& options = {}, const token_mask& mask = {}) {
  return participation_ratio(detail::scatter_of(x, options, mask));
}
template <embedding_matrix X>
double effective_rank(const X& x, const spectrum_options& options = {}, const token_mask& mask = {}) {
  return effective_rank(detail::scatter_of(x, options, mask));
}
template <embedding_matrix X>
double matrix_entropy(const X& x, double alpha = 1.0, const spectrum_options& options = {},
                      const token_mask& mask = {}) {
  return matrix_entropy(detail::scatter_of(x, options, mask), alpha);
}

}  // namespace layerwise::inline LAYERWISE_ABI
