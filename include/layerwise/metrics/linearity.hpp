// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/fields.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/kernel/lanes.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/metrics/procrustes_normalize.hpp>
#include <layerwise/solve/detail/regression.hpp>
#include <layerwise/statistics/cross_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

/// @file
/// Linearity scores of a layer, with and without its residual stream, and the linear map behind them.
namespace layerwise::inline LAYERWISE_ABI {

/// How a linearity is measured. Every default is what arXiv 2405.12250 does, to full accuracy.
struct linearity_options {
  /// columns: the map has a bias, scores are about the means. none: neither.
  layerwise::centering centering = layerwise::centering::columns;
  /// How the regression is solved; linearity_result::method tells what was used.
  solver method = solver::automatic;
  /// The largest error_bound, in units of the score, that solver::automatic takes from the moments before it
  /// turns to the data. It stops at the first bound that will do: a smaller tolerance gives a sharper one. Finite,
  /// >= 0.
  double tolerance = 1e-8;
};

/// A linearity score and what one must know to read it.
struct linearity_result {
  /// s in [0, 1]: the share of Y's energy that a linear map of X explains.
  double score = 0.0;
  /// 1 - (1 - s)(n - 1)/(n - 1 - rank), with n for n - 1 without centring: s with the chance floor taken
  /// to 0. May be negative. 0 when underdetermined: the score then equals its chance floor.
  double adjusted_score = 0.0;
  /// E[s] for Y independent of X: rank / (n - 1) (rank / n without centring), at most 1.
  double chance_floor = 0.0;
  /// |score - exact score of the given data| is at most this; see least_squares.hpp for the derivation, and for what
  /// of it is proof and what is statistics. Where columns are dependent up to rounding and the data was at hand,
  /// exact is meant for the columns that were kept, as many as the rank that is reported.
  double error_bound = 0.0;
  /// Condition number (2-norm, a Lanczos estimate from below) of X with its columns scaled to unit norm,
  /// restricted to the directions that were kept.
  double condition = 1.0;
  /// Share of the scaled columns' energy in the directions left out as numerically dependent.
  double discarded_energy = 0.0;
  /// Numerical rank of (centred) X.
  index rank = 0;
  /// Tokens that took part.
  index tokens = 0;
  index x_dimensions = 0;  ///< d_x
  index y_dimensions = 0;  ///< d_y
  /// True if rank >= n - 1 (n without centring): any Y at all scores 1, and the score means nothing.
  bool underdetermined = false;
  /// What solver::automatic settled on.
  solver method = solver::automatic;
};

/// The fields of a linearity.
template <>
inline constexpr auto fields<linearity_result> = std::tuple{
    field{"score", &linearity_result::score, "share of the energy that a linear map explains"},
    field{"adjusted_score", &linearity_result::adjusted_score, "the score with the chance floor taken to 0"},
    field{"chance_floor", &linearity_result::chance_floor, "the expected score of independent data"},
    field{"error_bound", &linearity_result::error_bound, "how far rounding can have moved the score"},
    field{"condition", &linearity_result::condition, "of the columns of X, scaled to unit norm"},
    field{"discarded_energy", &linearity_result::discarded_energy, "share left out as numerically dependent"},
    field{"rank", &linearity_result::rank, "of X"},
    field{"tokens", &linearity_result::tokens, "that took part"},
    field{"x_dimensions", &linearity_result::x_dimensions, "columns of X"},
    field{"y_dimensions", &linearity_result::y_dimensions, "columns of Y"},
    field{"underdetermined", &linearity_result::underdetermined, "any Y at all would score 1"},
    field{"method", &linearity_result::method, "that solved the regression"},
};

/// Y ~ X * weight + bias in the data's own coordinates.
struct linear_map {
  Eigen::MatrixXd weight;   ///< d_x x d_y
  Eigen::RowVectorXd bias;  ///< 1 x d_y; zero without centring

  /// x: n_tokens x d_x. Returns x * weight + bias, n_tokens x d_y in double. Throws shape_error for another
  /// d_x, non_finite_error for NaN or infinity in x and for a result beyond the range of double.
  template <embedding_matrix X>
  row_matrix operator()(const X& x) const {
    const detail::row_reader reader(x);
    if (reader.cols() != weight.rows())
      detail::fail<shape_error>(detail::text(weight.rows(), " columns"), detail::text(detail::shape_of(reader)),
                                {.operand = "X"});
    row_matrix out(reader.rows(), weight.cols());
    detail::parallel_chunks(reader.rows(), 64, [&](index first, index count) {
      detail::row_block rows(count, reader.cols());
      for (index i = 0; i < count; ++i) reader.read(first + i, rows.data() + i * rows.cols());
      out.middleRows(first, count) = (rows * weight).rowwise() + bias;
      for (index i = 0; i < count; ++i)
        if (!out.row(first + i).allFinite()) apply_scaled(&rows(i, 0), first + i, &out(first + i, 0));
    });
    return out;
  }

 private:
  /// One row of the result where a sum has overflowed: with row and bias divided by a power of two.
  [[gnu::cold]] void apply_scaled(double* row, index token, double* out) const {
    // Sums of up to 2^60 terms, each below 2^-60 of the largest number.
    const int power = detail::rescale_row(row, weight.rows(), {.operand = "X", .row = token}) + 61;
    for (index k = 0; k < weight.rows(); ++k) row[k] *= 0x1p-61;
    for (index c = 0; c < weight.cols(); ++c) {
      const double sum = detail::dot(row, weight.data() + c * weight.rows(), weight.rows());
      out[c] = std::scalbn(sum + std::scalbn(bias[c], -power), power);
    }
    detail::fail_non_finite(out, weight.cols(), {.operand = "X * weight + bias", .row = token});
  }
};

namespace detail {

inline void check(const linearity_options& options) {
  if (!(options.tolerance >= 0.0 && std::isfinite(options.tolerance)))
    fail<option_error>("a finite tolerance >= 0", text(options.tolerance), {.operand = "linearity_options"});
}

/// The score of one of the two regressions, whose energy is not 0. Never outside [0, 1], and the error bound
/// never larger than the score could be off.
inline linearity_result make_result(const regression& fit, const pair_moments& m, regression_target what) {
  const total_energy& total = m.total(what);
  const double freedom = static_cast<double>(m.degrees_of_freedom());
  const double rank = static_cast<double>(fit.rank);
  const double unexplained = (std::min)(1.0, m.in_units_of(what, fit.residual_energy) / total.value);

  linearity_result out;
  out.score = 1.0 - unexplained;
  out.chance_floor = (std::min)(1.0, rank / freedom);
  out.underdetermined = rank >= freedom;
  out.adjusted_score = out.underdetermined ? 0.0 : 1.0 - unexplained * freedom / (freedom - rank);
  // The error of the residual energy, and that of the energy it is divided by; in more than all, nothing is known.
  const double wrong = total.relative_error, most = (std::max)(out.score, unexplained);
  const double error = m.in_units_of(what, fit.error_for(what)) / total.value;
  const double bound = wrong < 1.0 ? (error + unexplained * wrong) / (1.0 - wrong) : most;
  out.error_bound = (std::min)(bound + 4.0 * unit_roundoff, most);
  out.condition = fit.condition;
  out.discarded_energy = fit.discarded_energy;
  out.rank = fit.rank;
  out.tokens = m.tokens;
  out.x_dimensions = m.x_dimensions(), out.y_dimensions = m.y_dimensions();
  out.method = fit.method;
  return out;
}

inline bool has_variance(const pair_moments& m) { return m.x.energy.maxCoeff() > least_energy; }

/// Takes an energy from the data where moments do not know it well enough for the tolerance.
inline void sharpen(pair_moments& m, regression_target what, double tolerance, const row_source& data) {
  total_energy& total = m.total(what);
  if (total.relative_error <= 0.25 * tolerance) return;
  const double energy = accurate_energy(m, data, what);
  // Products of such columns underflow: they count as constant, as everywhere.
  total = energy > least_energy ? total_energy{energy, 8.0 * unit_roundoff} : total_energy{0.0, HUGE_VAL};
}

/// What is known of the pair that a chain is of. Of a chain that is an rvalue the matrices are moved.
template <class Chain>
pair_moments extract_pair(Chain&& chain, const linearity_options& options, regression_target what,
                          const operand_names& names, const row_source* data) {
  check(options);
  if (chain.tokens() == 0) fail<degenerate_input_error>("at least one token", "none", {.operand = names.x});
  if (what == regression_target::update && chain.dimensions(0) != chain.dimensions(1))
    fail<shape_error>(text(chain.dimensions(0), " columns, as in ", names.x), text(chain.dimensions(1)),
                      {.operand = names.y});
  pair_moments m = [&] {
    if constexpr (std::is_lvalue_reference_v<Chain>)
      return chain.extract(1, options.centering);
    else
      return chain.take(1, options.centering);
  }();
  const std::string_view variance =
      options.centering == centering::columns ? "rows that differ" : "an element other than 0";
  if (!has_variance(m)) fail<degenerate_input_error>(std::string(variance), "no variance", {.operand = names.x});
  if (data != nullptr) sharpen(m, what, options.tolerance, *data);
  if (const total_energy& total = m.total(what); total.value == 0.0)
    fail<degenerate_input_error>(
        std::string(variance), total.relative_error > 0.0 ? "none beyond the rounding of sums" : "no variance",
        {.operand = what == regression_target::output ? text(names.y) : text(names.y, " - ", names.x)});
  return m;
}

/// What a call is about: a score, or the map.
inline regression_request request_for(const linearity_options& options, regression_target what, bool solution) {
  return {options.method, options.tolerance, what == regression_target::output, what == regression_target::update,
          solution};
}

/// Moments, regression: what linearity, residual_linearity and fit_linear_map share when the data is at hand.
inline std::pair<pair_moments, regression> regress_rows(const row_source& data, index d_x, index d_y,
                                                        const linearity_options& options, regression_target what,
                                                        const operand_names& names, bool solution) {
  moment_chain chain({d_x, d_y});
  chain.add(data, zero_rows::allowed);
  pair_moments m = extract_pair(std::move(chain), options, what, names, &data);
  const regression_request wanted = request_for(options, what, solution);
  regression fit = solve(m, wanted, &data);
  if (auto own = solve_for(what, m, fit, wanted, &data)) return *std::move(own);
  return {std::move(m), std::move(fit)};
}

template <class X, class Y>
void require_pair_for(regression_target what, const row_reader<X>& x, const row_reader<Y>& y,
                      const operand_names& names) {
  if (what == regression_target::update) require_equal_shape(shape_of(x), shape_of(y), {.operand = names.y});
  require_pair(x, y, names);
}

template <embedding_matrix X, embedding_matrix Y>
std::pair<pair_moments, regression> regress(const X& x, const Y& y, const linearity_options& options,
                                            const token_mask& mask, regression_target what, const operand_names& names,
                                            bool solution = false) {
  const row_reader x_rows(x);
  const row_reader y_rows(y);
  require_pair_for(what, x_rows, y_rows, names);
  const std::vector<index> tokens = mask.rows(x_rows.rows());
  return regress_rows(pair_source(x_rows, y_rows, tokens, names), x_rows.cols(), y_rows.cols(), options, what, names,
                      solution);
}

/// The same when it is not.
inline std::pair<pair_moments, regression> regress(const cross_moments& moments, const linearity_options& options,
                                                   regression_target what, const operand_names& names,
                                                   bool solution = false) {
  pair_moments m = extract_pair(chain_access::of(moments), options, what, names, nullptr);
  regression fit = solve(m, request_for(options, what, solution));
  return {std::move(m), std::move(fit)};
}

/// mean y - mean x * weight * 2^power for column c of Y; nothing overflows or vanishes but the result.
inline double bias_of(const pair_moments& m, const double* weight, int power, index c) {
  Eigen::VectorXd x = m.x_mean, w = Eigen::VectorXd::Map(weight, x.size());
  power += rescale_row(x.data(), x.size(), {.operand = "X"});
  power += rescale_row(w.data(), w.size(), {.operand = "weight"});
  const double sum = dot(x.data(), w.data(), x.size()), mean = m.y_mean[c];
  if (sum == 0.0) return mean;
  const int unit = mean == 0.0 ? power : (std::max)(power, std::ilogb(mean));
  return std::scalbn(std::scalbn(mean, -unit) - std::scalbn(sum, power - unit), unit);
}

inline linear_map make_map(const pair_moments& m, const regression& fit) {
  linear_map map;
  matrix weight = fit.solution.coefficients();
  map.bias = Eigen::RowVectorXd::Zero(m.y_dimensions());
  // Powers of two, whose ratio may be beyond the range of double.
  const int power = std::ilogb(m.x.scale) - std::ilogb(m.target_stats().scale);
  const bool has_bias = m.centering == centering::columns;
  for (index c = 0; c < weight.cols(); ++c) {
    if (has_bias && !(m.target == regression_target::update)) map.bias[c] = bias_of(m, column(weight, c), power, c);
    if (power != 0)
      for (index k = 0; k < weight.rows(); ++k) weight(k, c) = std::scalbn(weight(k, c), power);
    if (m.target == regression_target::update) weight(c, c) += 1.0;
    for (index k = 0; k < weight.rows(); ++k)
      if (!std::isfinite(weight(k, c)))
        fail<non_finite_error>("a weight within the range of double", text(weight(k, c)),
                               {.operand = "weight", .row = k, .column = c});
    if (has_bias && (m.target == regression_target::update)) map.bias[c] = bias_of(m, column(weight, c), 0, c);
    if (!std::isfinite(map.bias[c]))
      fail<non_finite_error>("a bias within the range of double", text(map.bias[c]), {.operand = "bias", .column = c});
  }
  map.weight = std::move(weight);
  return map;
}

}  // namespace detail

/// Linearity score of a layer with its residual stream (arXiv 2405.12250, Procrustes similarity).
///
///     s(X, Y) = 1 - min_A ||X~ A - Y~||_F^2
///
/// with X~, Y~ the Procrustes-normalized X, Y (procrustes_normalize()) and A any d_x x d_y matrix: the
/// share of Y's variance that an affine map of X explains: 1 is an exactly linear layer, and independent
/// data scores rank/(n - 1) by chance.
///
/// x: n_tokens x d_x, y: n_tokens x d_y; scalar types and layouts may differ; mask: the tokens that
/// take part. The result is in [0, 1] and
/// does not change under invertible linear maps of X, orthogonal maps of Y, scaling, translation, or the
/// order of the rows.
///
/// Throws shape_error if the numbers of rows differ; non_finite_error; degenerate_input_error if a
/// matrix is empty or X or Y has no variance. Columns of X, or a Y, that vary by 1e140 times less than the largest
/// element of the matrix count as constant. Rank deficiency is no error: see linearity_result::rank, and
/// linearity_result::underdetermined for n <= d. Cost: 3 n d^2 flops and O(d^2) memory, and one Cholesky
/// factorization, 1.3 d^3 flops, or 2.3 d^3 where the first bound is not within options.tolerance; where that is not
/// enough (conditions from about 1e3 on), a second
/// pass over the data for the residual, 4 n d^2 flops; where that is not either (from about 1e6 on), a
/// Householder factorization, about 6 n d^2 flops at a third of the rate; and at last one or two passes in
/// double-double of 40 n d^2 flops each, after which the score is good to 1e-8 up to a condition of 1e12.
template <embedding_matrix X, embedding_matrix Y>
linearity_result linearity(const X& x, const Y& y, const linearity_options& options = {}, const token_mask& mask = {}) {
  const auto [m, fit] = detail::regress(x, y, options, mask, detail::regression_target::output, detail::pair_names);
  return detail::make_result(fit, m, detail::regression_target::output);
}

/// linearity() of accumulated moments. With the data gone, an ill-conditioned problem is solved by a
/// rank-revealing factorization, whose error_bound then says how far the score can be trusted. Throws
/// degenerate_input_error for no tokens, and for no variance or none above the rounding of the sums; option_error for
/// solver::orthogonal.
inline linearity_result linearity(const cross_moments& moments, const linearity_options& options = {}) {
  const auto [m, fit] = detail::regress(moments, options, detail::regression_target::output, detail::pair_names);
  return detail::make_result(fit, m, detail::regression_target::output);
}

/// linearity(x, y, options, mask).score
template <embedding_matrix X, embedding_matrix Y>
double linearity_score(const X& x, const Y& y, const linearity_options& options = {}, const token_mask& mask = {}) {
  return linearity(x, y, options, mask).score;
}

/// linearity(moments, options).score
inline double linearity_score(const cross_moments& moments, const linearity_options& options = {}) {
  return linearity(moments, options).score;
}

/// Linearity of what a layer adds to the residual stream (arXiv 2405.12250): s(h_{l-1}, h_l - h_{l-1}).
///
/// before, after: n_tokens x d. Range, invariances (but for scaling one of the two), errors and cost as
/// linearity(); the two differ only in their denominators: s_res = 1 - (1 - s) tr S_yy / tr S_dd. after =
/// before up to a constant offset, exactly, is a degenerate_input_error: there is no update whose linearity could be
/// asked.
template <embedding_matrix Before, embedding_matrix After>
linearity_result residual_linearity(const Before& before, const After& after, const linearity_options& options = {},
                                    const token_mask& mask = {}) {
  const auto [m, fit] =
      detail::regress(before, after, options, mask, detail::regression_target::update, detail::residual_names);
  return detail::make_result(fit, m, detail::regression_target::update);
}

/// residual_linearity() of accumulated moments; shape_error if d_x != d_y.
inline linearity_result residual_linearity(const cross_moments& moments, const linearity_options& options = {}) {
  const auto [m, fit] = detail::regress(moments, options, detail::regression_target::update, detail::residual_names);
  return detail::make_result(fit, m, detail::regression_target::update);
}

/// residual_linearity(before, after, options, mask).score
template <embedding_matrix Before, embedding_matrix After>
double residual_linearity_score(const Before& before, const After& after, const linearity_options& options = {},
                                const token_mask& mask = {}) {
  return residual_linearity(before, after, options, mask).score;
}

/// residual_linearity(moments, options).score
inline double residual_linearity_score(const cross_moments& moments, const linearity_options& options = {}) {
  return residual_linearity(moments, options).score;
}

/// The map of linearity(): argmin over W, b of ||X W + 1 b - Y||_F, in the data's own coordinates. It can
/// stand in for a layer of high linearity (arXiv 2405.12250, section on pruning).
///
/// x: n_tokens x d_x, y: n_tokens x d_y; weight is d_x x d_y, bias 1 x d_y. Where columns of X are dependent
/// the map is not unique: dependent columns get weight 0 (the update's weight, where the update was fitted).
/// Errors and cost as linearity(); non_finite_error, too, for a weight or a bias beyond the range of double.
template <embedding_matrix X, embedding_matrix Y>
linear_map fit_linear_map(const X& x, const Y& y, const linearity_options& options = {}, const token_mask& mask = {}) {
  const auto [m, fit] =
      detail::regress(x, y, options, mask, detail::regression_target::output, detail::pair_names, true);
  return detail::make_map(m, fit);
}

/// fit_linear_map() of accumulated moments.
inline linear_map fit_linear_map(const cross_moments& moments, const linearity_options& options = {}) {
  const auto [m, fit] = detail::regress(moments, options, detail::regression_target::output, detail::pair_names, true);
  return detail::make_map(m, fit);
}

}  // namespace layerwise::inline LAYERWISE_ABI
