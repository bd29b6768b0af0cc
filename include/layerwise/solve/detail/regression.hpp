// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/kernel/cholesky.hpp>
#include <layerwise/kernel/double_double.hpp>
#include <layerwise/kernel/householder.hpp>
#include <layerwise/kernel/indices.hpp>
#include <layerwise/kernel/lanczos.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/product.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/solve/detail/refinement.hpp>
#include <layerwise/statistics/cross_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

/// @file
/// The least-squares core: min_A ||X A - T||_F^2, its solution, and how far rounding can have moved it.
/// The derivation of the error bound is in the source.
//
// In scaled coordinates: columns of X divided by their norms, G = X^T X (unit diagonal), b = X^T t and a for
// one column t of T. The residual energy is
//     f = min_a (t^T t - 2 a^T b + a^T G a) = t^T t - b^T G^-1 b,
// and u = 2^-53.
//
// What is proof and what is statistics. Of a sum of k terms each is rounded k times at most, and 512 equal squares do
// drift by a quarter of 512 u: sums over tokens are bounded by the number of additions that a term passes through,
// which is 512 in a block and one for each further block, whatever the data. Three things rest on statistics:
// roundings of more than 64 different steps of an elimination are taken as independent (8 sqrt d for d), so are those
// of a Householder factorization; and the smallest eigenvalue is Lanczos' (see there: wrong by half with a
// probability of 1e-8). tests/fuzz looks for what breaks them.
//
// 1. Certificate from moments
//    Computed are G~ = G + E, b~ = b + e, and t^T t + eps. Sums of products round to
//        |E_ij| <= gamma p_i p_j,  |e_i| <= gamma p_i q,  |eps| <= gamma q^2,
//        gamma = u (sums of pair_moments::sum_rounding + 3 min(d + 1, 8 sqrt d) + 16)
//    with p_i the norm of column i as it was summed (about the provisional shift, and what merges moved) over its
//    norm about the mean, and q the norm of t as summed. The factorization rounds an element of G~, whose rows have
//    norm 1, by min(d + 1, ...) u, each of two substitutions as much, which are part of gamma, as no p_i is below 1.
//    For any a at all the two energies differ by
//        |f(a) - f~(a)| = |eps - 2 a^T e + a^T E a| <= gamma (|a|_p + q)^2,  |a|_p = sum_i p_i |a_i|.
//    A minimum is below the value at any point, so with a*, a~ the exact and the computed solution
//        f  <= f(a~)  <= f~ + gamma (|a~|_p + q)^2,
//        f~ <= f~(a*) <= f  + gamma (|a*|_p + q)^2.
//    a* is near a~: subtract G a* = b from G~ a~ = b~ to get G~ (a~ - a*) = e - E a*. Hence, with lambda
//    the smallest eigenvalue of G~ and theta = gamma ||p||^2 / lambda >= ||E|| ||G~^-1||,
//        ||a* - a~|| <= (theta ||a~|| + gamma ||p|| q / lambda) / (1 - theta) =: drift,
//        |f - f~| <= gamma (|a~|_p + ||p|| drift + q)^2.
//    It needs theta < 1/2: beyond, moments cannot tell, and another method is used. lambda comes from
//    Lanczos, from above, and is halved.
//    a~ = L^-T z costs d^3 flops, z = L^-1 b is there: first ||a~|| <= ||z|| / sqrt(lambda) and |a~|_p <= ||p|| ||a~||
//    are tried, which is enough for 1e-8 up to conditions of some 30.
//
// 2. Certificate from a pass over the data, Cholesky's solution corrected
//    With theta < 1/2 but 1. not enough: the residual r = t - X a of any a, taken from the data, and
//    g = X^T r give f by Pythagoras, P the projection onto the columns of X:
//        f = ||r||^2 - ||P r||^2,  ||P r||^2 = g^T G^-1 g = ||L^-1 g||^2 =: h^2  (G~ = L L^T).
//    For a = a~ this cancels nothing: h is small. Computed are r + dr and g + dg,
//        ||dr|| <= gamma (|a|_p + q),  ||dg|| <= gamma ||p|| ||r||.
//    r + dr is a residual of t + dr, whose distance from the range of X differs by ||dr|| at most; dg moves h
//    by e = ||dg|| / sqrt(lambda) at most; and G = L (I - L^-1 E L^-T) L^T, so h^2 by G~ is right to
//    theta / (1 - theta) of itself:
//        |f - f~| <= 2 ||dr|| sqrt f + ||dr||^2 + theta / (1 - theta) h^2 + 2 e h + e^2 + gamma f,
//    the last for the sum ||r||^2. This grows with |a|, where 1. grows with its square, and a~ + G~^-1 g is off by theta times what a~ was.
//
// 3. Certificate from a factorization of the data
//    A Householder factorization solves the problem of X + dX, T + dT exactly, where
//        ||dx_j|| <= gamma' p_j ||x_j||,  ||dt|| <= gamma' q,  gamma' = u (512 + n / 512 + 8 sqrt d + 8),
//    with n for 512 + n / 512 up to 512 tokens. ||t - X a|| changes by at most gamma' (|a|_p + q) at any a, so by the
//    two comparisons of 1., |a|_p the larger of a~'s and a*'s,
//        |f - f~| <= 2 reach sqrt f + reach^2,  reach = gamma' (|a|_p + q).
//    a* is near a~: with theta = ||dX R^-1|| <= gamma' ||p|| / sigma_min, r* = t - X a* and the normal equations of both
//    problems, X~^T X~ (a* - a~) = -dX^T r* + X~^T (dX a* - dT), so
//        (1 - theta) |a*|_p <= |a~|_p + theta q + ||p|| theta sqrt f / sigma_min,
//    the last of which does not shrink with a~. Hence
//        reach <= (gamma' (|a~|_p + q) (1 + theta^2) + theta^2 sqrt f) / (1 - theta)
//    where theta < 1/2. Directions are left out until that holds.
//
// 4. Certificate by refinement, where 3. is not enough (detail/refinement.hpp)
//    As in 2., but r and g are taken in double-double from the data as it came, so that dr and dg vanish.
//    h is ||R^-T g|| for R^T R = X^T X. R is that of X + dX, so h is right to a factor between 1 - theta and
//    1 + theta, and
//        |f - f~| <= h^2 (1 / (1 - theta)^2 - 1) + rounding of a sum of squares.
//    a + R^-1 R^-T g has an error theta times that of a: each step shrinks the bound by theta^2.
//
// Columns left out. Where the rank is not full, f is that of the columns kept, K, and so is the score: directions of
// X below the cutoff are the rounding of the data or of the factorization. y and y - x then leave residuals that
// differ by what K leaves of X; its norm l, bounded from the factorization, adds 2 l sqrt f + l^2 to the error of the
// other score, and where that is too much the data is asked once more, for that score alone. Moments cannot see what
// lies below their cutoff: all that is left may be explained by it, unless the rank is as high as the number of
// different rows allows (detail/distinct_rows.hpp).
//
// y - x is never rounded: it enters the moments, and every pass over the data, as its two parts. The energies that f
// is divided by come from moments, with their own error; where that is too much, from the data in double-double.
namespace layerwise::inline LAYERWISE_ABI {

/// How a regression is solved.
enum class solver {
  automatic,       ///< cholesky; where its error bound exceeds the tolerance: orthogonal if the data is at hand,
                   ///< else rank_revealing
  cholesky,        ///< Cholesky factorization of the scaled second moments, corrected by the data's residual where
                   ///< its error bound exceeds the tolerance and the data is at hand
  orthogonal,      ///< Householder QR of the data, block by block, then a column-pivoted QR of R, refined in
                   ///< double-double where that is not accurate to the tolerance; needs the data
  rank_revealing,  ///< pivoted Cholesky (LDL^T) of the scaled second moments, cut off at their rounding level
};

namespace detail {

/// What is asked of a regression.
struct regression_request {
  solver method = solver::automatic;
  double tolerance = 1e-8;  ///< of the scores wanted
  bool output = false;      ///< whether the score of the output is wanted
  bool update = false;      ///< whether the score of the update is wanted
  bool solution = false;    ///< whether the map itself is, too
};

/// The regression of a target on x, and its certificate. Energies are in units of the target.
struct regression {
  solver method = solver::cholesky;
  regression_target target = regression_target::output;
  index rank = 0;
  double condition = 1.0;         ///< ratio of the extreme singular values of X's scaled columns that were kept
  double discarded_energy = 0.0;  ///< share of the scaled columns' energy in the directions that were not
  double residual_energy = 0.0;   ///< min ||X A - T||_F^2 over the columns that were kept
  double residual_error = 0.0;    ///< bound on the rounding error of residual_energy
  double left_out = 0.0;          ///< at most what the columns that were kept leave of X: ||X - P X||_F
  scaled_solution solution;       ///< if it was asked for

  /// Bound on the error of residual_energy as that of the other target: y and y - x differ by x, and so do their
  /// residuals by what is left of x.
  double error_for(regression_target what) const {
    if (what == target || left_out == 0.0) return residual_error;
    return residual_error + left_out * (2.0 * std::sqrt(residual_energy + residual_error) + left_out);
  }
};

/// Terms that are added one after the other, where a matrix of d columns is eliminated. Up to d = 64 they all are;
/// beyond, this rests on statistics: the roundings of different steps are those of different products.
inline double elimination_chain(index d) {
  const double terms = static_cast<double>(d);
  return (std::min)(terms + 1.0, 8.0 * std::sqrt(terms));
}

/// The scaled problem: unit columns of X with any variance, and what the certificate needs.
class scaled_problem {
 public:
  explicit scaled_problem(const pair_moments& moments) : moments_(moments) {
    const Eigen::VectorXd& energy = moments_.x.energy;
    const auto is_live = [](double e) { return e > least_energy; };
    live_.resize(std::count_if(energy.begin(), energy.end(), is_live));
    for (index j = 0, found = 0; j < energy.size(); ++j)
      if (is_live(energy[j])) live_[found++] = j;
    for (const double e : energy)
      if (!is_live(e)) constant_energy_ += e;
    norm_ = select(energy, live_).cwiseSqrt();
    inflation_.resize(size());
    for (index i = 0; i < size(); ++i)
      inflation_[i] = (std::max)(1.0, std::sqrt(moments_.x.noise[live_[i]]) / norm_[i]);
  }

  const pair_moments& moments() const { return moments_; }
  index size() const { return live_.size(); }
  const indices& live() const { return live_; }
  const Eigen::VectorXd& norm() const { return norm_; }

  /// G with unit diagonal; its lower triangle.
  matrix gram() const {
    const Eigen::VectorXd inverse = norm_.cwiseInverse();
    matrix g(size(), size());
    for_columns(g, [&](index j) {
      const auto column = moments_.second.col(live_[j]);
      g(j, j) = 1.0;
      for (index i = j + 1; i < size(); ++i) g(i, j) = column[live_[i]] * inverse[i] * inverse[j];
    });
    return g;
  }

  /// X^T T for the live columns, rows scaled.
  matrix right_side() const {
    const Eigen::VectorXd inverse = norm_.cwiseInverse();
    matrix b(size(), moments_.y_dimensions());
    for_columns(b, [&](index c) {
      const auto column = moments_.cross.col(c);
      for (index i = 0; i < size(); ++i) b(i, c) = column[live_[i]] * inverse[i];
    });
    return b;
  }

  /// Norms of columns as they were summed over their norms about the mean.
  Eigen::VectorXd inflation(const indices& kept) const { return select(inflation_, kept); }

  double gamma() const { return moments_.sum_rounding + unit_roundoff * (3.0 * elimination_chain(size()) + 8.0); }
  double gamma_orthogonal() const {
    const double n = static_cast<double>(moments_.tokens), block = static_cast<double>(block_rows);
    return unit_roundoff * ((std::min)(n, block) + n / block + 8.0 * root_of_size() + 8.0);
  }
  /// Relative size of a direction of the data below which a factorization cannot be expected to find it.
  double rank_cutoff() const {
    return unit_roundoff * (2.0 * std::sqrt(static_cast<double>(moments_.tokens)) + 8.0 * root_of_size() + 8.0);
  }

  /// What moments of that smallest eigenvalue of G~ say of G: the bounds of 1. and 2. above, summed over the
  /// columns of T.
  class certificate {
   public:
    certificate(const scaled_problem& problem, const indices& kept, double smallest_eigenvalue)
        : p_(problem.inflation(kept)),
          q_(problem.moments_.target_stats().noise.cwiseMax(least_noise).cwiseSqrt()),
          gamma_(problem.gamma()),
          lambda_(0.5 * smallest_eigenvalue),
          theta_(p_.squaredNorm() * gamma_ / lambda_) {}

    /// theta < 1/2
    bool holds() const { return theta_ < 0.5; }

    /// 1., with what is known of a before it is solved for: L^T a, whose columns have these energies.
    double of_energies(const Eigen::VectorXd& explained) const {
      double error = 0.0;
      for (index c = 0; c < explained.size(); ++c) {
        const double norm = std::sqrt(explained[c] / lambda_);
        error += of_column(c, norm, p_.norm() * norm);
      }
      return error;
    }

    /// 1., for the solution `a` of a problem of moments.
    double of_moments(const matrix& a) const {
      double error = 0.0;
      for (index c = 0; c < a.cols(); ++c)
        error += of_column(c, std::sqrt(squared_norm(column(a, c), a.rows())), reach_of(a, c));
      return error;
    }

    /// 2., for the residual of `a`: its energies, and the projections' h^2, each column's.
    double of_residual(const matrix& a, const Eigen::VectorXd& energy, const Eigen::VectorXd& projected) const {
      double error = 0.0;
      for (index c = 0; c < a.cols(); ++c) {
        const double dr = gamma_ * (reach_of(a, c) + q_[c]);
        const double e = gamma_ * p_.norm() * std::sqrt(energy[c] / lambda_), h = std::sqrt(projected[c]);
        error += 2.0 * dr * std::sqrt(energy[c]) + dr * dr + theta_ / (1.0 - theta_) * h * h + 2.0 * e * h + e * e +
                 gamma_ * energy[c];
      }
      return error;
    }

    /// What the columns that were kept leave of one with the noise p_i^2, of which so much was computed: the value
    /// at the computed solution w is an upper bound, and |w|_p <= ||p|| / sqrt(lambda).
    double left_of(double computed, double p) const {
      const double reach = p_.norm() / std::sqrt(lambda_) + p;
      return (std::max)(0.0, computed) + gamma_ * reach * reach;
    }

   private:
    /// 1., for ||a|| and |a|_p of column c.
    double of_column(index c, double norm, double weighted) const {
      const double drift = (theta_ * norm + gamma_ * p_.norm() * q_[c] / lambda_) / (1.0 - theta_);
      const double reach = weighted + p_.norm() * drift + q_[c];
      return gamma_ * reach * reach;
    }

    /// |a|_p of a column of a.
    double reach_of(const matrix& a, index c) const { return weighted_sum(p_, column(a, c)); }

    Eigen::VectorXd p_, q_;
    double gamma_, lambda_, theta_;
  };

  /// Norms of columns of X.
  Eigen::VectorXd norms(const indices& of) const { return select(norm_, of); }
  /// The norm of the columns of X that count as constant, though some energy is known of them.
  double norm_of_constant() const { return std::sqrt(constant_energy_); }
  /// A norm of X, in the units of the target.
  double in_units_of_target(double norm) const { return norm * (moments_.target_stats().scale / moments_.x.scale); }

  /// The solution `a` in the coordinates `kept`, as one for all columns of X, in the units of the moments.
  scaled_solution solution(matrix a, const indices& kept) const {
    return {moments_.x_dimensions(), std::move(a), select(live_, kept), select(norm_, kept)};
  }

 private:
  double root_of_size() const { return std::sqrt(static_cast<double>(size())); }

  const pair_moments& moments_;
  indices live_;
  Eigen::VectorXd norm_;
  Eigen::VectorXd inflation_;
  double constant_energy_ = 0.0;
};

/// What is left of the energy of the columns of T; a column is not less than explained.
inline double energy_left(const Eigen::VectorXd& energy, const Eigen::VectorXd& explained) {
  double left = 0.0;
  for (index c = 0; c < energy.size(); ++c) left += (std::max)(0.0, energy[c] - explained[c]);
  return left;
}

/// Reads rows first.. of the scaled problem into all of x (its live columns) and t, about their means.
inline void read_scaled(const scaled_problem& problem, const row_source& data, index first, Eigen::Ref<matrix> x,
                        Eigen::Ref<matrix> t) {
  const pair_moments& m = problem.moments();
  const column_stats& target = m.target_stats();
  parallel_chunks(x.rows(), 64, [&](index chunk, index count) {
    Eigen::VectorXd in(m.x_dimensions()), out(m.y_dimensions());
    for (index i = chunk; i < chunk + count; ++i) {
      data.read(0, first + i, in.data());
      data.read(1, first + i, out.data());
      for (index c = 0; c < out.size(); ++c) {
        double_double value{out[c] * target.scale, 0.0};
        if (m.target == regression_target::update) value.add(-in[c] * target.scale);
        t(i, c) = (value.high - target.shift[c]) - target.drift[c] + value.low;
      }
      for (index j = 0; j < problem.size(); ++j) {
        const index k = problem.live()[j];
        x(i, j) = (in[k] * m.x.scale - m.x.shift[k] - m.x.drift[k]) / problem.norm()[j];
      }
    }
  });
}

/// What a pass over the data says of a solution a.
struct residual_projection {
  Eigen::VectorXd energy;     ///< of each column of the residual
  Eigen::VectorXd projected;  ///< what X explains of it
  matrix step;                ///< to be added to a, for X to explain no more
};

/// 2. above: the residual r = t - X a from the data, X^T r, and by the moments' factor L ||L^-1 X^T r||^2 and
/// L^-T L^-1 X^T r. 4 n d^2 flops.
inline residual_projection project_residual(const scaled_problem& problem, const matrix& factor, const row_source& data,
                                            const matrix& a) {
  const index n = data.size();
  packed_block packed_a, columns, tokens, packed_r;
  pack(a, packed_a);
  matrix gradient = matrix::Zero(a.rows(), a.cols()), x, r;
  Eigen::VectorXd energy = Eigen::VectorXd::Zero(a.cols());
  for (index done = 0; done < n; done += block_rows) {
    const index count = (std::min)(block_rows, n - done);
    x.resize(count, a.rows());
    r.resize(count, a.cols());
    read_scaled(problem, data, done, x, r);
    pack_transposed(x, tokens);
    add_products(-1.0, {{tokens, packed_a, r}});
    pack(x, columns);
    pack(r, packed_r);
    add_products(1.0, {{columns, packed_r, gradient}});
    energy += column_energies(r);
  }
  substitute_forward(factor, gradient);
  Eigen::VectorXd projected = column_energies(gradient);
  substitute_back(factor, gradient);
  return {std::move(energy), std::move(projected), std::move(gradient)};
}

/// Empty if the factorization breaks down or the certificate does not hold. A residual energy not certain to
/// `allowed` is corrected, if there is data.
inline std::optional<regression> solve_cholesky(const scaled_problem& problem, const row_source* data, double allowed,
                                                bool with_solution) {
  matrix factor = problem.gram(), a = problem.right_side();
  if (!cholesky_in_place(factor, a)) return std::nullopt;

  const pair_moments& m = problem.moments();
  regression out;
  out.method = solver::cholesky;
  out.target = m.target;
  out.rank = problem.size();
  const eigenvalue_range range = eigenvalues_of_gram(factor);
  out.condition = range.condition();
  const indices kept = first_indices(problem.size());
  const scaled_problem::certificate certificate(problem, kept, range.smallest);
  if (!certificate.holds()) return std::nullopt;

  const Eigen::VectorXd explained = column_energies(a);
  out.residual_energy = energy_left(m.target_stats().energy, explained);
  out.residual_error = certificate.of_energies(explained);
  // The solution takes as long as all of the above: d^3 flops.
  if (out.residual_error <= allowed && !with_solution) return out;
  substitute_back(factor, a);
  out.residual_error = (std::min)(out.residual_error, certificate.of_moments(a));
  if (data != nullptr && !(out.residual_error <= allowed)) {  // certificate 2
    const auto [energy, projected, step] = project_residual(problem, factor, *data, a);
    out.residual_energy = energy_left(energy, projected);
    out.residual_error = certificate.of_residual(a, energy, projected);
    a += step;
  }
  out.solution = problem.solution(std::move(a), kept);
  return out;
}

/// Pivoted Cholesky of the second moments, cut off where the pivots can no longer be told from rounding. What
/// the directions beyond would explain cannot be known from moments: all of it may be, so the bound takes in
/// the whole residual energy, unless the rank that was found is already all that the rows allow.
inline regression solve_rank_revealing(const scaled_problem& problem) {
  const pair_moments& m = problem.moments();
  const matrix gram = problem.gram();
  const double d = static_cast<double>(problem.size());
  regression out;
  out.method = solver::rank_revealing;
  out.target = m.target;
  for (double cutoff = 4.0 * d * problem.gamma();; cutoff = (std::min)(10.0 * cutoff, 0.5)) {
    const pivoted_cholesky factor(gram, m.rank_limit(), cutoff);
    const index rank = factor.rank();
    const indices kept = factor.order.head(rank), others = factor.order.tail(problem.size() - rank);
    const matrix lower = factor.l.topRows(rank), right = problem.right_side();
    const eigenvalue_range range = eigenvalues_of_gram(lower);

    matrix a(rank, right.cols());
    for (index i = 0; i < rank; ++i) a.row(i) = right.row(kept[i]);
    substitute_forward(lower, a);
    const Eigen::VectorXd explained = column_energies(a);
    substitute_back(lower, a);
    const scaled_problem::certificate certificate(problem, kept, range.smallest);
    if (!certificate.holds() && cutoff < 0.5) continue;  // what was kept is still too close to rounding

    out.rank = rank;
    out.condition = range.condition();
    out.discarded_energy = factor.left.sum() / d;
    out.residual_energy = energy_left(m.target_stats().energy, explained);
    out.residual_error = certificate.holds() ? certificate.of_moments(a) : m.target_stats().energy.sum();
    if (rank < problem.size() && rank < m.rank_limit()) {
      out.residual_error += out.residual_energy;
      double left = 0.0;
      const Eigen::VectorXd p = problem.inflation(others), norm = problem.norms(others);
      for (index i = 0; i < others.size(); ++i) left += certificate.left_of(factor.left[i], p[i]) * norm[i] * norm[i];
      out.left_out = problem.in_units_of_target(std::sqrt(left));
    }
    out.solution = problem.solution(std::move(a), kept);
    return out;
  }
}

/// Householder QR of [X T] block by block: [R Q^T T], and the energy of what is left of T.
class block_qr {
 public:
  block_qr(index x_dimensions, index target_dimensions)
      : x_dimensions_(x_dimensions),
        triangle_(0, x_dimensions + target_dimensions),
        left_(Eigen::VectorXd::Zero(target_dimensions)) {}

  /// Adds `count` rows, which fill(x, t) writes.
  template <class Fill>
  void add(index count, const Fill& fill) {
    const index targets = left_.size();
    matrix stacked(triangle_.rows() + count, x_dimensions_ + targets);
    stacked.topRows(triangle_.rows()) = triangle_;
    fill(stacked.bottomLeftCorner(count, x_dimensions_), stacked.bottomRightCorner(count, targets));
    reduce_to_triangle(stacked, x_dimensions_);
    const index kept = (std::min)(stacked.rows(), x_dimensions_);
    for (index j = 0; j < kept; ++j) std::fill_n(&stacked(j, j) + 1, kept - j - 1, 0.0);
    left_ += column_energies(stacked, kept).tail(targets);
    triangle_ = stacked.topRows(kept);
  }

  /// [R Q^T T]
  const matrix& triangle() const { return triangle_; }
  const Eigen::VectorXd& left() const { return left_; }

 private:
  index x_dimensions_;
  matrix triangle_;
  Eigen::VectorXd left_;
};

/// Solves from the data. Directions below gamma' of the largest are the factorization's own rounding, and are
/// left out. A residual energy not certain to `allowed` is refined.
inline regression solve_orthogonal(const scaled_problem& problem, const row_source& data, double allowed) {
  const pair_moments& m = problem.moments();
  const index d = problem.size(), n = data.size();
  const index rows_at_once = (std::max)(block_rows, d);  // as many new rows as R has, for the cost of R to be hidden

  block_qr qr(d, m.y_dimensions());
  for (index done = 0; done < n; done += rows_at_once) {
    const index count = (std::min)(rows_at_once, n - done);
    qr.add(count, [&](auto x, auto t) { read_scaled(problem, data, done, x, t); });
  }

  const double gamma = problem.gamma_orthogonal();
  const pivoted_qr pivoted(qr.triangle().leftCols(d), m.rank_limit(), problem.rank_cutoff());
  matrix z = qr.triangle().rightCols(m.y_dimensions());
  pivoted.apply(z);

  // The certificates need theta < 1/2 of what is kept.
  index rank = pivoted.rank;
  matrix lower;
  eigenvalue_range range;
  double theta;
  for (double cutoff = 2.0 * problem.rank_cutoff();; cutoff *= 2.0) {
    lower = pivoted.r.topLeftCorner(rank, rank).transpose();  // R^T
    range = eigenvalues_of_gram(lower);
    theta = gamma * problem.inflation(pivoted.order.head(rank)).norm() / std::sqrt(0.5 * range.smallest);
    if (theta < 0.5 || rank == 1) break;
    rank = pivoted.rank_above(cutoff, rank - 1);
  }
  const indices kept = pivoted.order.head(rank);
  const Eigen::VectorXd p = problem.inflation(kept);
  matrix a = z.topRows(rank);
  substitute_back(lower, a);

  regression out;
  out.method = solver::orthogonal;
  out.target = m.target;
  out.rank = rank;
  out.condition = range.condition();
  if (rank < d) {
    // What is left of the other columns x: the value at the solution w of R w = x, and the rounding of both.
    const Eigen::VectorXd left = pivoted.left_below(rank);
    out.discarded_energy = left.sum() / static_cast<double>(d);
    if (rank < m.rank_limit()) {
      const indices others = pivoted.order.tail(d - rank);
      const Eigen::VectorXd p_others = problem.inflation(others), norm = problem.norms(others);
      matrix w = pivoted.r.topRightCorner(rank, d - rank);
      substitute_back(lower, w);
      double energy = 0.0;
      for (index i = 0; i < others.size(); ++i) {
        const double reach = weighted_sum(p, column(w, i)) + p_others[i];
        const double most = norm[i] * (std::sqrt(left[i]) + gamma * reach);
        energy += most * most;
      }
      out.left_out = problem.in_units_of_target(std::sqrt(energy));
    }
  }

  const Eigen::VectorXd residual = qr.left() + column_energies(z, rank);
  out.residual_energy = residual.sum();
  for (index c = 0; c < a.cols(); ++c) {
    const double near_a = gamma * (weighted_sum(p, column(a, c)) + std::sqrt(m.target_stats().noise[c]));
    const double root = std::sqrt(residual[c]);
    const double reach = (near_a + theta * theta * (root + near_a)) / (1.0 - (std::min)(0.5, theta));
    out.residual_error += 2.0 * reach * root + reach * reach;
  }
  if (!(theta < 0.5)) out.residual_error = m.target_stats().energy.sum();
  out.solution = problem.solution(std::move(a), kept);
  if (out.residual_error <= allowed || rank == m.degrees_of_freedom() || !(theta < 0.5)) return out;

  refinement refined(m, data, out.solution);
  for (int step = 0; step < 3; ++step) {
    auto [gradient, energy, rounding] = refined.measure();
    substitute_forward(lower, gradient);
    const Eigen::VectorXd projected = column_energies(gradient);
    const double left = energy_left(energy, projected);
    double error = projected.sum() * (1.0 / ((1.0 - theta) * (1.0 - theta)) - 1.0) + 4.0 * unit_roundoff * energy.sum();
    for (index c = 0; c < rounding.size(); ++c) error += rounding[c] * (2.0 * std::sqrt(energy[c]) + rounding[c]);
    if (error < out.residual_error) out.residual_energy = left, out.residual_error = error;
    substitute_back(lower, gradient);
    refined.improve(gradient);
    if (error <= allowed) break;
  }
  out.solution.a = refined.solution();
  return out;
}

/// The error of a residual energy with which a score keeps to the tolerance, in its own units; half of it at least is
/// left to it, for where the energy it is divided by is not known better.
inline double allowed_error(const pair_moments& m, regression_target what, double tolerance) {
  const total_energy& total = m.total(what);
  return total.value * (std::max)(tolerance - total.relative_error - 4.0 * unit_roundoff, 0.5 * tolerance);
}

/// The same for all scores that are wanted, in units of the target.
inline double allowed_error(const pair_moments& m, const regression_request& wanted) {
  double allowed = HUGE_VAL;
  for (const regression_target what : {regression_target::output, regression_target::update}) {
    if (!(what == regression_target::output ? wanted.output : wanted.update)) continue;
    const double ratio = m.target_stats().scale / m.stats(what).scale;
    allowed = (std::min)(allowed, allowed_error(m, what, wanted.tolerance) * ratio * ratio);
  }
  return allowed;
}

/// Solves by the chosen method; `data` is null where only moments are left. The moments must have variance in x.
inline regression solve_as_given(const scaled_problem& problem, const regression_request& wanted,
                                 const row_source* data) {
  const double allowed = allowed_error(problem.moments(), wanted);
  if (wanted.method == solver::rank_revealing) return solve_rank_revealing(problem);
  if (wanted.method == solver::orthogonal) {
    if (data == nullptr)
      fail<option_error>("a method that works on moments", "solver::orthogonal, which needs the data",
                         {.operand = "linearity_options"});
    return solve_orthogonal(problem, *data, allowed);
  }
  std::optional<regression> fit;
  if (problem.size() <= problem.moments().rank_limit()) fit = solve_cholesky(problem, data, allowed, wanted.solution);
  if (wanted.method == solver::cholesky) {
    if (!fit)
      fail<degenerate_input_error>("linearly independent columns, as solver::cholesky needs",
                                   "columns that are dependent within rounding", {.operand = "X"});
    return *std::move(fit);
  }
  if (fit && fit->residual_error <= allowed) return *std::move(fit);
  if (data != nullptr) return solve_orthogonal(problem, *data, allowed);
  regression revealing = solve_rank_revealing(problem);
  return fit && fit->residual_error <= revealing.residual_error ? *std::move(fit) : std::move(revealing);
}

/// solve_as_given(), and what holds whatever the method.
inline regression solve(const pair_moments& moments, const regression_request& wanted,
                        const row_source* data = nullptr) {
  const scaled_problem problem(moments);
  regression fit = solve_as_given(problem, wanted, data);
  if (const double norm = problem.in_units_of_target(problem.norm_of_constant()); norm > 0.0)
    fit.left_out = std::hypot(fit.left_out, norm);
  if (fit.rank == moments.degrees_of_freedom())
    fit.residual_energy = fit.residual_error = fit.left_out = 0.0;  // X spans every direction there is
  return fit;
}

/// The regression of one of the targets, and its moments, where that of the other one, `shared`, leaves too much
/// open: for columns that were left out, or where the first tokens, by which the target was chosen, mislead. Only from
/// the data.
inline std::optional<std::pair<pair_moments, regression>> solve_for(regression_target what, const pair_moments& moments,
                                                                    const regression& shared, regression_request wanted,
                                                                    const row_source* data) {
  wanted.output = what == regression_target::output, wanted.update = what == regression_target::update;
  const bool may_ask_data =
      data != nullptr && (wanted.method == solver::automatic || wanted.method == solver::orthogonal);
  const double error = moments.in_units_of(what, shared.error_for(what));
  if (!may_ask_data || what == shared.target || error <= allowed_error(moments, what, wanted.tolerance))
    return std::nullopt;
  pair_moments own = moments;
  own.target = what;
  wanted.method = solver::orthogonal;  // `cross` is that of the shared target
  regression fit = solve(own, wanted, data);
  return std::pair(std::move(own), std::move(fit));
}

}  // namespace detail
}  // namespace layerwise::inline LAYERWISE_ABI
