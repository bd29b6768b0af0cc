// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/indices.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/solve/detail/residual.hpp>
#include <layerwise/solve/detail/scaled_problem.hpp>
#include <layerwise/statistics/detail/columns.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

// How far rounding can have moved the residual energy of a regression. Four certificates, each derived above its
// function: 1. from moments, 2. from a pass over the data by the moments' factor, 3. from a factorization of the data,
// 4. from passes over the data in double-double.
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
// Columns left out. Where the rank is not full, f is that of the columns kept, K, and so is the score: directions of
// X below the cutoff are the rounding of the data or of the factorization. y and y - x then leave residuals that
// differ by what K leaves of X; its norm l, bounded from the factorization, adds 2 l sqrt f + l^2 to the error of the
// other score (regression::error_for), and where that is too much the data is asked once more, for that score alone.
// Moments cannot see what lies below their cutoff: all that is left may be explained by it, unless the rank is as high
// as the number of different rows allows (statistics/detail/distinct_rows.hpp).
//
// y - x is never rounded: it enters the moments, and every pass over the data, as its two parts. The energies that f
// is divided by come from moments, with their own error; where that is too much, from the data in double-double.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Terms that are added one after the other, where a matrix of d columns is eliminated. Up to d = 64 they all are;
/// beyond, this rests on statistics: the roundings of different steps are those of different products.
inline double elimination_chain(index d) {
  const double terms = static_cast<double>(d);
  return (std::min)(terms + 1.0, 8.0 * std::sqrt(terms));
}

/// gamma of 1.
inline double rounding_of_moments(const scaled_problem& problem) {
  return problem.moments().sum_rounding + unit_roundoff * (3.0 * elimination_chain(problem.size()) + 8.0);
}

/// gamma' of 3.
inline double rounding_of_factorization(const scaled_problem& problem) {
  const double n = static_cast<double>(problem.moments().tokens), block = static_cast<double>(block_rows);
  const double root_of_size = std::sqrt(static_cast<double>(problem.size()));
  return unit_roundoff * ((std::min)(n, block) + n / block + 8.0 * root_of_size + 8.0);
}

/// Relative size of a direction of the data below which a factorization cannot be expected to find it.
inline double rank_cutoff(const scaled_problem& problem) {
  const double root_of_size = std::sqrt(static_cast<double>(problem.size()));
  return unit_roundoff * (2.0 * std::sqrt(static_cast<double>(problem.moments().tokens)) + 8.0 * root_of_size + 8.0);
}

/// theta of 1., where `lambda` is a lower bound of the smallest eigenvalue of G~.
inline double theta_of_moments(double gamma, const Eigen::VectorXd& p, double lambda) {
  return squared_norm(p) * gamma / lambda;
}
/// The same by the condition of X, halved as lambda is: the largest eigenvalue is 1 at least.
inline double theta_of_moments_by_condition(double gamma, const Eigen::VectorXd& p, double condition) {
  return 2.0 * squared_norm(p) * gamma * condition * condition;
}

/// theta of 3., where `lambda` is a lower bound of the square of sigma_min.
inline double theta_of_factorization(double gamma, const Eigen::VectorXd& p, double lambda) {
  return gamma * norm(p) / std::sqrt(lambda);
}
/// The same by the condition of X.
inline double theta_of_factorization_by_condition(double gamma, const Eigen::VectorXd& p, double condition) {
  return 2.0 * gamma * norm(p) * condition;
}

/// 1. Certificate from moments
///
/// Computed are G~ = G + E, b~ = b + e, and t^T t + eps. Sums of products round to
///     |E_ij| <= gamma p_i p_j,  |e_i| <= gamma p_i q,  |eps| <= gamma q^2,
///     gamma = u (sums of pair_moments::sum_rounding + 3 min(d + 1, 8 sqrt d) + 16)
/// with p_i the norm of column i as it was summed (about the provisional shift, and what merges moved) over its
/// norm about the mean, and q the norm of t as summed. The factorization rounds an element of G~, whose rows have
/// norm 1, by min(d + 1, ...) u, each of two substitutions as much, which are part of gamma, as no p_i is below 1.
/// For any a at all the two energies differ by
///     |f(a) - f~(a)| = |eps - 2 a^T e + a^T E a| <= gamma (|a|_p + q)^2,  |a|_p = sum_i p_i |a_i|.
/// A minimum is below the value at any point, so with a*, a~ the exact and the computed solution
///     f  <= f(a~)  <= f~ + gamma (|a~|_p + q)^2,
///     f~ <= f~(a*) <= f  + gamma (|a*|_p + q)^2.
/// a* is near a~: subtract G a* = b from G~ a~ = b~ to get G~ (a~ - a*) = e - E a*. Hence, with lambda
/// the smallest eigenvalue of G~ and theta = gamma ||p||^2 / lambda >= ||E|| ||G~^-1||,
///     ||a* - a~|| <= (theta ||a~|| + gamma ||p|| q / lambda) / (1 - theta) =: drift,
///     |f - f~| <= gamma (|a~|_p + ||p|| drift + q)^2.
/// It needs theta < 1/2: beyond, moments cannot tell, and another method is used. lambda comes from
/// Lanczos, from above, and is halved.
///
/// Bounds are sums over the columns of T.
class moment_certificate {
 public:
  moment_certificate(const scaled_problem& problem, const indices& kept, double smallest_eigenvalue)
      : p_(problem.cancellation(kept)),
        q_(problem.moments().target_stats().noise.cwiseMax(least_noise).cwiseSqrt()),
        gamma_(rounding_of_moments(problem)),
        lambda_(0.5 * smallest_eigenvalue),
        theta_(theta_of_moments(gamma_, p_, lambda_)) {}

  /// theta < 1/2
  bool holds() const { return theta_ < 0.5; }

  /// With what is known of a before it is solved for: a~ = L^-T z costs d^3 flops, z = L^-1 b, whose columns have these
  /// energies, is there. ||a~|| <= ||z|| / sqrt(lambda) and |a~|_p <= ||p|| ||a~||, which is enough for 1e-8 up to
  /// conditions of some 30.
  double of_energies(const Eigen::VectorXd& explained) const {
    double error = 0.0;
    for (index c = 0; c < explained.size(); ++c) {
      const double size = std::sqrt(explained[c] / lambda_);
      error += of_column(c, size, norm(p_) * size);
    }
    return error;
  }

  /// For the solution `a` of a problem of moments.
  double of_moments(const matrix& a) const {
    double error = 0.0;
    for (index c = 0; c < a.cols(); ++c)
      error += of_column(c, std::sqrt(squared_norm(column(a, c), a.rows())), reach_of(a, c));
    return error;
  }

  /// 2. Certificate from a pass over the data, Cholesky's solution corrected
  ///
  /// With theta < 1/2 but 1. not enough: the residual r = t - X a of any a, taken from the data, and
  /// g = X^T r give f by Pythagoras, P the projection onto the columns of X:
  ///     f = ||r||^2 - ||P r||^2,  ||P r||^2 = g^T G^-1 g = ||L^-1 g||^2 =: h^2  (G~ = L L^T).
  /// For a = a~ this cancels nothing: h is small. Computed are r + dr and g + dg,
  ///     ||dr|| <= gamma (|a|_p + q),  ||dg|| <= gamma ||p|| ||r||.
  /// r + dr is a residual of t + dr, whose distance from the range of X differs by ||dr|| at most; dg moves h
  /// by e = ||dg|| / sqrt(lambda) at most; and G = L (I - L^-1 E L^-T) L^T, so h^2 by G~ is right to
  /// theta / (1 - theta) of itself:
  ///     |f - f~| <= 2 ||dr|| sqrt f + ||dr||^2 + theta / (1 - theta) h^2 + 2 e h + e^2 + gamma f,
  /// the last for the sum ||r||^2. This grows with |a|, where 1. grows with its square, and a~ + G~^-1 g is off by
  /// theta times what a~ was.
  double of_residual(const matrix& a, const residual_projection& r) const {
    double error = 0.0;
    for (index c = 0; c < a.cols(); ++c) {
      const double f = r.energy[c], h = std::sqrt(r.projected[c]);
      const double dr = gamma_ * (reach_of(a, c) + q_[c]), e = gamma_ * norm(p_) * std::sqrt(f / lambda_);
      error += 2.0 * dr * std::sqrt(f) + dr * dr + theta_ / (1.0 - theta_) * h * h + 2.0 * e * h + e * e + gamma_ * f;
    }
    return error;
  }

  /// What the columns that were kept leave of one with the noise p_i^2, of which so much was computed: the value
  /// at the computed solution w is an upper bound, and |w|_p <= ||p|| / sqrt(lambda).
  double left_of(double computed, double p) const {
    const double reach = norm(p_) / std::sqrt(lambda_) + p;
    return (std::max)(0.0, computed) + gamma_ * reach * reach;
  }

 private:
  /// The bound of 1. for ||a|| and |a|_p of column c.
  double of_column(index c, double size, double weighted) const {
    const double drift = (theta_ * size + gamma_ * norm(p_) * q_[c] / lambda_) / (1.0 - theta_);
    const double reach = weighted + norm(p_) * drift + q_[c];
    return gamma_ * reach * reach;
  }

  /// |a|_p of a column of a.
  double reach_of(const matrix& a, index c) const { return weighted_sum(p_, column(a, c)); }

  Eigen::VectorXd p_, q_;
  double gamma_, lambda_, theta_;
};

/// 3. Certificate from a factorization of the data
///
/// A Householder factorization solves the problem of X + dX, T + dT exactly, where
///     ||dx_j|| <= gamma' p_j ||x_j||,  ||dt|| <= gamma' q,  gamma' = u (512 + n / 512 + 8 sqrt d + 8),
/// with n for 512 + n / 512 up to 512 tokens. ||t - X a|| changes by at most gamma' (|a|_p + q) at any a, so by the
/// two comparisons of 1., |a|_p the larger of a~'s and a*'s,
///     |f - f~| <= 2 reach sqrt f + reach^2,  reach = gamma' (|a|_p + q).
/// a* is near a~: with theta = ||dX R^-1|| <= gamma' ||p|| / sigma_min, r* = t - X a* and the normal equations of both
/// problems, X~^T X~ (a* - a~) = -dX^T r* + X~^T (dX a* - dT), so
///     (1 - theta) |a*|_p <= |a~|_p + theta q + ||p|| theta sqrt f / sigma_min,
/// the last of which does not shrink with a~. Hence
///     reach <= (gamma' (|a~|_p + q) (1 + theta^2) + theta^2 sqrt f) / (1 - theta)
/// where theta < 1/2. Directions are left out until that holds.
class factorization_certificate {
 public:
  factorization_certificate(const scaled_problem& problem, const indices& kept, double smallest_eigenvalue)
      : noise_(problem.moments().target_stats().noise),
        p_(problem.cancellation(kept)),
        gamma_(rounding_of_factorization(problem)),
        theta_(theta_of_factorization(gamma_, p_, 0.5 * smallest_eigenvalue)),
        smallest_(std::sqrt(0.5 * smallest_eigenvalue)) {}

  /// theta < 1/2
  bool holds() const { return theta_ < 0.5; }

  /// For the solution `a`, whose residual has these energies.
  double of_solution(const matrix& a, const Eigen::VectorXd& residual) const {
    double error = 0.0;
    for (index c = 0; c < a.cols(); ++c) {
      const double near_a = gamma_ * (weighted_sum(p_, column(a, c)) + std::sqrt(noise_[c]));
      const double root = std::sqrt(residual[c]);
      const double reach = (near_a + theta_ * theta_ * (root + near_a)) / (1.0 - theta_);
      error += 2.0 * reach * root + reach * reach;
    }
    return error;
  }

  /// The norm, over that of the column, of what the columns that were kept leave of another one: at the solution w of
  /// R w = x they leave the energy `left`, and the rounding of both.
  double left_of(double left, const double* w, double p) const {
    const double reach = weighted_sum(p_, w) + p;
    return std::sqrt(left) + gamma_ * reach;
  }

  /// 4. Certificate by refinement, where 3. is not enough (refinement.hpp)
  ///
  /// As in 2., but r and g are taken in double-double from the data as it came, so that dr and dg, of which `rounding` is
  /// the norm of each column, all but vanish: g does not where a column's norm about its mean is but the rounding of its
  /// elements. h is ||R^-T g|| for R^T R = X^T X. R is that of X + dX, so h is right to a factor between 1 - theta and
  /// 1 + theta, and dg moves it by e = ||dg|| / sigma_min at most:
  ///     |f - f~| <= h^2 (1 / (1 - theta)^2 - 1) + (2 e h + e^2) / (1 - theta)^2 + rounding of a sum of squares.
  /// a + R^-1 R^-T g has an error theta times that of a: each step shrinks the bound by theta^2.
  double of_refinement(const residual_projection& r, const refinement_rounding& rounding) const {
    const double stretch = 1.0 / ((1.0 - theta_) * (1.0 - theta_));
    double error = r.projected.sum() * (stretch - 1.0) + 4.0 * unit_roundoff * r.energy.sum();
    for (index c = 0; c < r.energy.size(); ++c) {
      const double dr = rounding.residual[c], e = rounding.gradient[c] / smallest_;
      error += dr * (2.0 * std::sqrt(r.energy[c]) + dr) + e * (2.0 * std::sqrt(r.projected[c]) + e) * stretch;
    }
    return error;
  }

 private:
  Eigen::VectorXd noise_, p_;
  double gamma_, theta_, smallest_;  // sigma_min, from below
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
