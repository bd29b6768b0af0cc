// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/detail/cholesky.hpp>
#include <layerwise/detail/double_double.hpp>
#include <layerwise/detail/parallel.hpp>
#include <layerwise/moments.hpp>

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

// The least-squares core: min_A ||X A - T||_F^2, its solution, and how far rounding can have moved it.
//
// Everything below is in scaled coordinates: columns of X divided by their norms, G = X^T X (unit diagonal),
// b a column of X^T T, t^2 = t^T t, and the residual energy f = min_a (t^2 - 2 a^T b + a^T G a) = t^2 - b^T
// G^-1 b.
//
// Certificate from moments. The computed moments are G + E, b + e, t^2 + eps. Sums of n products round to
//     |E_ij| <= gamma p_i p_j,   |e_i| <= gamma p_i q,   |eps| <= gamma q^2,    gamma = u (2 sqrt n + 2 sqrt
//     d + 8)
// where p_i is the norm of column i as it was summed (about the provisional shift) over its norm about the
// mean, q the norm of t as summed, u = 2^-53; the errors of the factorization, |dG_ij| <~ sqrt(d) u, are part
// of gamma because p_i >= 1. (sqrt n, sqrt d instead of n, d: rounding errors are taken as independent.
// Blocked sums stay far below.) f is a minimum over a, so any a bounds it from above. With a~ the computed
// solution, |a|_p = sum_i p_i |a_i|:
//     f   <= f~ + gamma (|a~|_p + q)^2                              since a~ is feasible for the exact
//     problem f~  <= f  + gamma (|a*|_p + q)^2                              since the exact solution a* is
//     for the computed one
// and a* is near a~: G~ (a* - a~) = E a* - e gives, with theta = ||p||^2 gamma / lambda_min(G~) >= ||G~^-1||
// ||E||,
//     ||a* - a~|| <= [ theta ||a~|| + gamma ||p|| q / lambda_min ] / (1 - theta),     |a*|_p <= |a~|_p +
//     ||p|| ||a* - a~||.
// So |f - f~| <= gamma (|a~|_p + ||p|| ||a* - a~|| + q)^2, valid while theta < 1; beyond 1/2 the moments
// cannot tell, and another method is used. lambda_min is a Lanczos estimate, halved for safety.
//
// Certificate from data. Householder factorization solves the problem of X + dX, T + dT exactly, with
// ||dx_j|| <= gamma' ||x_j||, gamma' = u (2 sqrt n + 8 sqrt d + 8). By the same two feasibility arguments
//     |f - f~| <= 2 gamma' (|a|_1 + t) sqrt f + gamma'^2 (|a|_1 + t)^2,   |a|_1 the larger of a~'s and a*'s.
// Linear in the condition number where the moments are quadratic, and with no cancellation: f is a sum of
// squares. It holds for the numerical rank: directions of X below the cutoff are the data's own rounding, and
// count as 0.
//
// Where T is the update, its elements y - x are themselves rounded, by u |y - x| at most: ||dT||_F <= u
// ||R||_F with R neither shifted nor centred, which adds 2 ||dT|| sqrt f + ||dT||^2.
namespace layerwise {

/// How a regression is solved.
enum class solver {
  automatic,  ///< cholesky; where its error bound exceeds the tolerance: orthogonal if the data is at hand,
              ///< else rank_revealing
  cholesky,    ///< Cholesky factorization of the scaled second moments
  orthogonal,  ///< Householder QR of the data, block by block, then a column-pivoted QR of R; needs the data
  rank_revealing,  ///< pivoted Cholesky (LDL^T) of the scaled second moments, cut off at their rounding level
};

namespace detail {

inline constexpr double unit_roundoff = std::numeric_limits<double>::epsilon() / 2.0;

/// Relative rounding of a sum of products over n tokens that then goes through a factorization of size d.
inline double rounding_of(index n, index d, double per_dimension) {
  return unit_roundoff *
         (2.0 * std::sqrt(static_cast<double>(n)) + per_dimension * std::sqrt(static_cast<double>(d)) + 8.0);
}

using indices = Eigen::Matrix<index, Eigen::Dynamic, 1>;

inline indices first_indices(index count) { return indices::LinSpaced(count, 0, count - 1); }

/// A, as it was solved for: for the columns of X that were kept, divided by their norms.
struct scaled_solution {
  index x_dimensions = 0;
  Eigen::MatrixXd a;     ///< kept columns x d_t
  indices kept;          ///< which columns of X
  Eigen::VectorXd norm;  ///< their norms

  /// A, d_x x d_t, for x * x_scale and t * target_scale; 0 for columns of X that were left out.
  Eigen::MatrixXd coefficients() const {
    Eigen::MatrixXd all = Eigen::MatrixXd::Zero(x_dimensions, a.cols());
    for (index c = 0; c < a.cols(); ++c)
      for (index i = 0; i < a.rows(); ++i) all(kept[i], c) = a(i, c) / norm[i];
    return all;
  }
};

/// The regression of a target on x, and its certificate. Energies are in units of the target.
struct regression {
  solver method = solver::cholesky;
  index rank = 0;
  double condition = 1.0;  ///< ratio of the extreme singular values of X's scaled columns that were kept
  double discarded_energy = 0.0;  ///< share of the scaled columns' energy in the directions that were not
  double residual_energy = 0.0;   ///< min ||X A - T||_F^2
  double residual_error = 0.0;    ///< bound on the rounding error of residual_energy
  /// ||y - x||_F^2, where it was taken more accurately than in the moments.
  std::optional<double> update_energy;
  scaled_solution solution;
};

/// The largest eigenvalue of a symmetric positive semidefinite operator, by Lanczos with full
/// reorthogonalization: an estimate from below, iterated until it moves by less than 1e-4 of itself a step,
/// 40 steps at most. Deterministic.
template <class Operator>
double largest_eigenvalue(index size, const Operator& apply) {
  const index steps = std::min<index>(size, 40);
  Eigen::MatrixXd basis(size, steps);
  Eigen::VectorXd diagonal(steps), offdiagonal(steps);
  Eigen::VectorXd v(size);
  for (index i = 0; i < size; ++i)
    v[i] = 1.0 + std::sin(static_cast<double>(i * i + i));  // no symmetry to fall into
  v.normalize();
  double estimate = 0.0;
  for (index k = 0; k < steps; ++k) {
    basis.col(k) = v;
    v = apply(v);
    diagonal[k] = basis.col(k).dot(v);
    for (int pass = 0; pass < 2; ++pass) {
      const Eigen::VectorXd along = basis.leftCols(k + 1).transpose() * v;
      v.noalias() -= basis.leftCols(k + 1) * along;
    }
    offdiagonal[k] = v.norm();
    Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> ritz;
    ritz.computeFromTridiagonal(diagonal.head(k + 1), offdiagonal.head(k), Eigen::EigenvaluesOnly);
    const double before = std::exchange(estimate, ritz.eigenvalues().maxCoeff());
    const bool settled = k >= 4 && estimate - before <= 1e-4 * estimate;
    if (settled || !(offdiagonal[k] > 1e-12 * estimate)) break;
    v /= offdiagonal[k];
  }
  return estimate;
}

/// The scaled problem: unit columns of X with any variance, and what the certificate needs.
class scaled_problem {
 public:
  explicit scaled_problem(const pair_moments& moments) : moments_(moments) {
    const Eigen::VectorXd energy = moments_.second.diagonal();
    live_.resize((energy.array() > 0.0).count());
    for (index j = 0, found = 0; j < energy.size(); ++j)
      if (energy[j] > 0.0) live_[found++] = j;
    norm_ = energy(live_).cwiseSqrt();
    inflation_ = (moments_.x_noise(live_).transpose().array().sqrt() / norm_.array()).max(1.0).matrix();
  }

  const pair_moments& moments() const { return moments_; }
  index size() const { return live_.size(); }
  const indices& live() const { return live_; }
  const Eigen::VectorXd& norm() const { return norm_; }

  /// Rank cannot exceed it: n rows, one degree of freedom less when they are centred.
  index degrees_of_freedom() const {
    return moments_.tokens - (moments_.centering == centering::columns ? 1 : 0);
  }

  /// G with unit diagonal; its lower triangle.
  Eigen::MatrixXd gram() const {
    const Eigen::VectorXd inverse = norm_.cwiseInverse();
    Eigen::MatrixXd g(size(), size());
    for_columns(g, [&](index j) {
      const auto column = moments_.second.col(live_[j]);
      g(j, j) = 1.0;
      for (index i = j + 1; i < size(); ++i) g(i, j) = column[live_[i]] * inverse[i] * inverse[j];
    });
    return g;
  }

  /// X^T T for the live columns, rows scaled.
  Eigen::MatrixXd right_side() const {
    const Eigen::VectorXd inverse = norm_.cwiseInverse();
    Eigen::MatrixXd b(size(), moments_.y_dimensions());
    for_columns(b, [&](index c) {
      const auto column = moments_.cross.col(c);
      for (index i = 0; i < size(); ++i) b(i, c) = column[live_[i]] * inverse[i];
    });
    return b;
  }

  /// Norms of columns as they were summed over their norms about the mean.
  Eigen::VectorXd inflation(const indices& kept) const { return inflation_(kept); }

  double gamma() const { return rounding_of(moments_.tokens, size(), 2.0); }
  double gamma_orthogonal() const { return rounding_of(moments_.tokens, size(), 8.0); }

  /// The bound on |f - f~| summed over the columns of T, for a solution `a` in the coordinates `kept` of the
  /// scaled problem; empty if the moments cannot tell (theta >= 1/2).
  std::optional<double> moment_error(const Eigen::MatrixXd& a, const indices& kept,
                                     double smallest_eigenvalue) const {
    const Eigen::VectorXd p = inflation_(kept);
    const double lambda = 0.5 * smallest_eigenvalue;
    const double theta = p.squaredNorm() * gamma() / lambda;
    if (!(theta < 0.5)) return std::nullopt;
    double error = 0.0;
    for (index c = 0; c < a.cols(); ++c) {
      const double q = std::sqrt(moments_.target_noise[c]);
      const double drift = (theta * a.col(c).norm() + gamma() * p.norm() * q / lambda) / (1.0 - theta);
      const double reach = p.dot(a.col(c).cwiseAbs()) + p.norm() * drift + q;
      error += gamma() * reach * reach;
    }
    return error;
  }

  /// The solution `a` in the coordinates `kept`, as one for all columns of X, in the units of the moments.
  scaled_solution solution(Eigen::MatrixXd a, const indices& kept) const {
    return {moments_.x_dimensions(), std::move(a), live_(kept), norm_(kept)};
  }

 private:
  const pair_moments& moments_;
  indices live_;
  Eigen::VectorXd norm_;
  Eigen::VectorXd inflation_;
};

/// What the rounding of y - x adds to the error of a residual energy f, where the update is the target.
inline double update_rounding(const pair_moments& m, double f) {
  if (!m.target_is_update) return 0.0;
  const double norm = unit_roundoff * m.update_raw_ratio * std::sqrt(m.update_energy);
  return 2.0 * norm * std::sqrt(f) + norm * norm;
}

/// Empty if the factorization breaks down or the certificate does not hold.
inline std::optional<regression> solve_cholesky(const scaled_problem& problem) {
  Eigen::MatrixXd factor = problem.gram(), a = problem.right_side();
  if (!eliminate(factor, a)) return std::nullopt;
  const auto lower = std::as_const(factor).triangularView<Eigen::Lower>();

  regression out;
  out.method = solver::cholesky;
  out.rank = problem.size();
  const double largest =
      largest_eigenvalue(problem.size(), [&](const Eigen::VectorXd& v) -> Eigen::VectorXd {
        return lower * Eigen::VectorXd(lower.transpose() * v);
      });
  const double smallest =
      1.0 / largest_eigenvalue(problem.size(), [&](const Eigen::VectorXd& v) -> Eigen::VectorXd {
        return lower.transpose().solve(Eigen::VectorXd(lower.solve(v)));
      });
  out.condition = std::sqrt(std::max(1.0, largest / smallest));

  const Eigen::RowVectorXd explained = a.colwise().squaredNorm();
  out.residual_energy = (problem.moments().target_energy - explained).cwiseMax(0.0).sum();
  substitute_back(factor, a);

  const indices kept = first_indices(problem.size());
  const auto error = problem.moment_error(a, kept, smallest);
  if (!error) return std::nullopt;
  out.residual_error = *error + update_rounding(problem.moments(), out.residual_energy);
  out.solution = problem.solution(std::move(a), kept);
  return out;
}

/// G(order, order) ~ L L^T, g the lower triangle of G, with L lower trapezoidal and decreasing pivots L_kk^2: Cholesky with complete
/// pivoting, stopped at `limit` columns or where no pivot exceeds `cutoff`. (Eigen's LDLT does not update the
/// diagonal it pivots on, and so does not reveal the rank.)
struct pivoted_cholesky {
  Eigen::MatrixXd l;
  indices order;
  Eigen::VectorXd pivots;  ///< of the columns kept
  double discarded = 0.0;  ///< trace of what is left of G

  pivoted_cholesky(const Eigen::MatrixXd& g, index limit, double cutoff) : order(first_indices(g.rows())) {
    const index d = g.rows();
    l.setZero(d, std::min(d, limit));
    pivots.resize(l.cols());
    Eigen::VectorXd left = g.diagonal();
    index k = 0;
    for (; k < l.cols(); ++k) {
      index best;
      pivots[k] = left.tail(d - k).maxCoeff(&best);
      if (!(pivots[k] > cutoff)) break;
      best += k;
      std::swap(order[k], order[best]);
      std::swap(left[k], left[best]);
      l.row(k).swap(l.row(best));
      const index below = d - k - 1;
      auto column = l.col(k).tail(below);
      for (index i = 0; i < below; ++i) {
        const index row = order[k + 1 + i];
        column[i] = row > order[k] ? g(row, order[k]) : g(order[k], row);
      }
      column.noalias() -= l.bottomLeftCorner(below, k) * l.row(k).head(k).transpose();
      l(k, k) = std::sqrt(pivots[k]);
      column /= l(k, k);
      left.tail(below) -= column.cwiseAbs2();
    }
    l.conservativeResize(Eigen::NoChange, k);
    pivots.conservativeResize(k);
    discarded = left.tail(d - k).cwiseMax(0.0).sum();
  }

  index rank() const { return pivots.size(); }
};

/// Pivoted Cholesky of the second moments, cut off where the pivots can no longer be told from rounding. What
/// the directions beyond would explain cannot be known from moments: all of it may be, so the bound takes in
/// the whole residual energy, unless the rank that was found is already all that the rows allow.
inline regression solve_rank_revealing(const scaled_problem& problem) {
  const Eigen::MatrixXd gram = problem.gram();
  const double d = static_cast<double>(problem.size());
  regression out;
  out.method = solver::rank_revealing;
  for (double cutoff = 4.0 * d * problem.gamma();; cutoff = std::min(10.0 * cutoff, 0.5)) {
    const pivoted_cholesky factor(gram, problem.degrees_of_freedom(), cutoff);
    const index rank = factor.rank();
    const indices kept = factor.order.head(rank);
    const auto lower = factor.l.topRows(rank).triangularView<Eigen::Lower>();
    const auto inverse = [&](const Eigen::VectorXd& v) -> Eigen::VectorXd {
      return lower.transpose().solve(Eigen::VectorXd(lower.solve(v)));
    };
    const auto product = [&](const Eigen::VectorXd& v) -> Eigen::VectorXd {
      return lower * Eigen::VectorXd(lower.transpose() * v);
    };
    const double largest = largest_eigenvalue(rank, product);
    const double smallest = 1.0 / largest_eigenvalue(rank, inverse);

    Eigen::MatrixXd a = problem.right_side()(kept, Eigen::all);
    for_column_tiles(a, [&](auto columns) { lower.solveInPlace(columns); });
    const Eigen::RowVectorXd explained = a.colwise().squaredNorm();
    for_column_tiles(a, [&](auto columns) { lower.transpose().solveInPlace(columns); });
    const auto error = problem.moment_error(a, kept, smallest);
    if (!error && cutoff < 0.5) continue;  // what was kept is still too close to rounding

    out.rank = rank;
    out.condition = std::sqrt(std::max(1.0, largest / smallest));
    out.discarded_energy = factor.discarded / d;
    out.residual_energy = (problem.moments().target_energy - explained).cwiseMax(0.0).sum();
    out.residual_error = error.value_or(problem.moments().target_energy.sum());
    if (rank < problem.size()) out.residual_error += out.residual_energy;
    out.residual_error += update_rounding(problem.moments(), out.residual_energy);
    out.solution = problem.solution(std::move(a), kept);
    return out;
  }
}

/// Householder QR of [X T] block by block: keeps R (d x d), Q^T T (d x d_t) and the energy of what is left of
/// T.
class block_qr {
 public:
  block_qr(index x_dimensions, index target_dimensions)
      : r_(0, x_dimensions), z_(0, target_dimensions), left_(Eigen::RowVectorXd::Zero(target_dimensions)) {}

  void add(const Eigen::MatrixXd& x, const Eigen::MatrixXd& t) {
    Eigen::MatrixXd stacked(r_.rows() + x.rows(), x.cols());
    stacked << r_, x;
    Eigen::MatrixXd target(z_.rows() + t.rows(), t.cols());
    target << z_, t;
    const Eigen::HouseholderQR<Eigen::Ref<Eigen::MatrixXd>> qr(stacked);
    for_column_tiles(target, [&](auto columns) { columns.applyOnTheLeft(qr.householderQ().adjoint()); });
    const index kept = std::min(stacked.rows(), stacked.cols());
    r_ = stacked.topRows(kept).triangularView<Eigen::Upper>();
    z_ = target.topRows(kept);
    left_ += target.bottomRows(target.rows() - kept).colwise().squaredNorm();
  }

  const Eigen::MatrixXd& r() const { return r_; }
  const Eigen::MatrixXd& z() const { return z_; }
  const Eigen::RowVectorXd& left() const { return left_; }

 private:
  Eigen::MatrixXd r_, z_;
  Eigen::RowVectorXd left_;
};

/// The data of a pair, where it is still there: layers 0 and 1 of `read`, and the rows that take part.
struct pair_data {
  read_layer_row read;
  const std::vector<index>& rows;
};

/// A solution a of min ||X a - t|| that is improved, and judged, by its residual r = t - X a taken from the data as
/// it came, in double-double: no centring, no scaling and no y - x is rounded. With the triangle R of X from
/// solve_orthogonal and P the projection onto the columns of X,
///     ||P r|| = ||R^-T X^T r||,    f = ||r||^2 - ||P r||^2 (Pythagoras),    a + R^-1 R^-T X^T r is the next a.
/// All but the two sums r and X^T r is double: R need only be right to theta << 1, relative to X in every direction.
class refinement {
 public:
  refinement(const scaled_problem& problem, const pair_data& data, const scaled_solution& start)
      : moments_(problem.moments()), data_(data), kept_(start.kept), norm_(start.norm),
        targets_((moments_.y_dimensions() + accurate_lanes - 1) / accurate_lanes * accurate_lanes),
        weight_(row_block::Zero(kept_.size(), targets_)), weight_low_(weight_) {
    weight_.leftCols(moments_.y_dimensions()) = norm_.cwiseInverse().asDiagonal() * start.a;
    if (moments_.centering == centering::columns) take_means();
  }

  /// X^T r for the scaled columns of X; for the columns of r their energies, and how far rounding moved their norms.
  struct residual {
    Eigen::MatrixXd gradient;
    Eigen::RowVectorXd energy, rounding;
  };
  residual measure() {
    const index n = static_cast<index>(data_.rows.size());
    const std::vector<double_double> bias = take_bias();
    row_block gradient = row_block::Zero(kept_.size(), targets_), gradient_low = gradient;
    Eigen::RowVectorXd energy = Eigen::RowVectorXd::Zero(targets_);
    std::vector<double_double> sum(static_cast<std::size_t>(targets_));
    for (index done = 0; done < n; done += block_rows) {
      const index count = std::min(block_rows, n - done);
      row_block x(count, kept_.size()), r = row_block::Zero(count, targets_), r_low = r;
      parallel_chunks(count, 16, [&](index first, index length) {
        for (index i = first; i < first + length; ++i) {
          read(done + i, &x(i, 0), [&](index c, double_double t) {
            t.add(bias[static_cast<std::size_t>(c)]);
            t = t.normalized();
            r(i, c) = t.high, r_low(i, c) = t.low;
          });
          const row_block minus_x = -x.row(i);
          for (index c = 0; c < targets_; c += accurate_lanes)
            add_products_accurately(kept_.size(), minus_x.data(), 1, &weight_(0, c), &weight_low_(0, c), targets_,
                                    &r(i, c), &r_low(i, c));
          for (index c = 0; c < targets_; ++c) {  // after the cancellation, low is anything but low
            const double_double element = double_double{r(i, c), r_low(i, c)}.normalized();
            r(i, c) = element.high, r_low(i, c) = element.low;
          }
        }
      });
      parallel_chunks(targets_, accurate_lanes, [&](index c, index) {
        for (index j = 0; j < kept_.size(); ++j)
          add_products_accurately(count, &x(0, j), kept_.size(), &r(0, c), &r_low(0, c), targets_, &gradient(j, c),
                                  &gradient_low(j, c));
        for (index k = c; k < c + accurate_lanes; ++k)
          for (index i = 0; i < count; ++i) sum[static_cast<std::size_t>(k)].add({r(i, k), r_low(i, k)});
      });
      energy += (r + r_low).colwise().squaredNorm();
    }
    // x was not centred: what is left of the mean of r, 1e-32 of the offsets, counts times the offset of x.
    if (moments_.centering == centering::columns)
      for (index c = 0; c < targets_; ++c)
        for (index j = 0; j < kept_.size(); ++j) {
          double_double g{gradient(j, c), gradient_low(j, c)};
          g.add_product(-x_mean_[static_cast<std::size_t>(j)].high, sum[static_cast<std::size_t>(c)].value());
          gradient(j, c) = g.high, gradient_low(j, c) = g.low;
        }
    const index width = moments_.y_dimensions();
    const Eigen::RowVectorXd x_norm =
        (norm_.transpose().array().square() +
         static_cast<double>(n) * (moments_.x_mean(kept_).array() * moments_.x_scale).square())
            .sqrt();
    return {norm_.cwiseInverse().asDiagonal() * (gradient + gradient_low).leftCols(width), energy.head(width),
            0x1p-98 * (x_norm * weight_.leftCols(width).cwiseAbs())};
  }

  /// ||y - x||_F^2 about the mean, in units of the target: relative error u sqrt(n), however large the mean is.
  double update_energy() const {
    const index n = static_cast<index>(data_.rows.size()), d = moments_.y_dimensions();
    std::vector<double_double> mean(static_cast<std::size_t>(d));
    double energy = 0.0;
    const auto for_each = [&](const auto& body) {
      Eigen::RowVectorXd x(d), y(d);
      for (const index row : data_.rows) {
        data_.read(0, row, x.data());
        data_.read(1, row, y.data());
        for (index c = 0; c < d; ++c) {
          double_double r{y[c] * moments_.target_scale, 0.0};
          r.add(-x[c] * moments_.target_scale);
          body(r, mean[static_cast<std::size_t>(c)]);
        }
      }
    };
    if (moments_.centering == centering::columns) {
      for_each([](const double_double& r, double_double& sum) { sum.add(r); });
      for (double_double& m : mean) m = m.normalized() / static_cast<double>(n);
    }
    for_each([&](double_double r, const double_double& m) {
      r.add({-m.high, -m.low});
      energy += r.value() * r.value();
    });
    return energy;
  }

  /// a += step
  void improve(const Eigen::MatrixXd& step) {
    for (index j = 0; j < step.rows(); ++j)
      for (index c = 0; c < step.cols(); ++c) {
        double_double w{weight_(j, c), weight_low_(j, c)};
        w.add(step(j, c) / norm_[j]);
        w = w.normalized();
        weight_(j, c) = w.high, weight_low_(j, c) = w.low;
      }
  }

  /// a, rounded
  Eigen::MatrixXd solution() const { return norm_.asDiagonal() * weight_.leftCols(moments_.y_dimensions()); }

 private:
  /// Row i of the kept columns of X, and target(column, value) for the columns of t; power-of-two scales are exact.
  template <class Target>
  void read(index i, double* x, const Target& target) const {
    const index row = data_.rows[static_cast<std::size_t>(i)];
    Eigen::RowVectorXd in(moments_.x_dimensions()), out(moments_.y_dimensions());
    data_.read(0, row, in.data());
    data_.read(1, row, out.data());
    for (index j = 0; j < kept_.size(); ++j) x[j] = in[kept_[j]] * moments_.x_scale;
    for (index c = 0; c < out.size(); ++c) {
      double_double t{out[c] * moments_.target_scale, 0.0};
      if (moments_.target_is_update) t.add(-in[c] * moments_.target_scale);
      target(c, t);
    }
  }

  void take_means() {
    x_mean_.resize(static_cast<std::size_t>(kept_.size()));
    t_mean_.resize(static_cast<std::size_t>(moments_.y_dimensions()));
    Eigen::RowVectorXd x(kept_.size());
    for (std::size_t i = 0; i < data_.rows.size(); ++i) {
      read(static_cast<index>(i), x.data(), [&](index c, const double_double& t) {
        t_mean_[static_cast<std::size_t>(c)].add(t);
      });
      for (index j = 0; j < x.size(); ++j) x_mean_[static_cast<std::size_t>(j)].add(x[j]);
    }
    const double n = static_cast<double>(data_.rows.size());
    for (auto* means : {&x_mean_, &t_mean_})
      for (double_double& mean : *means) mean = mean.normalized() / n;
  }

  /// mean x * a - mean t: what makes the residual's mean 0.
  std::vector<double_double> take_bias() const {
    std::vector<double_double> bias(static_cast<std::size_t>(moments_.y_dimensions()));
    if (moments_.centering == centering::none) return bias;
    for (index c = 0; c < moments_.y_dimensions(); ++c) {
      double_double& b = bias[static_cast<std::size_t>(c)];
      for (index j = 0; j < kept_.size(); ++j) {
        const double_double& mean = x_mean_[static_cast<std::size_t>(j)];
        b.add_product(mean.high, weight_(j, c));
        b.low += mean.low * weight_(j, c) + mean.high * weight_low_(j, c);
      }
      const double_double& t = t_mean_[static_cast<std::size_t>(c)];
      b.add({-t.high, -t.low});
      b = b.normalized();
    }
    return bias;
  }

  const pair_moments& moments_;
  const pair_data& data_;
  const indices kept_;
  const Eigen::VectorXd norm_;
  const index targets_;              // columns of t, filled up to whole lanes
  row_block weight_, weight_low_;    // a in the units of the data, kept columns x targets
  std::vector<double_double> x_mean_, t_mean_;
};

/// Solves from the data. Directions whose singular value is below 16 sqrt(d) u of the largest are the data's own
/// rounding, and are left out. A residual energy not certain to `allowed` is refined.
inline regression solve_orthogonal(const scaled_problem& problem, const pair_data& data, double allowed) {
  const auto& [read, rows] = data;
  const pair_moments& m = problem.moments();
  const index d = problem.size(), n = static_cast<index>(rows.size());
  const index rows_at_once = std::max(block_rows, d);  // as many new rows as R has, for the cost of R to be hidden

  block_qr qr(d, m.y_dimensions());
  for (index done = 0; done < n; done += rows_at_once) {
    const index count = std::min(rows_at_once, n - done);
    Eigen::MatrixXd x(count, d), t(count, m.y_dimensions());
    parallel_chunks(count, 64, [&, &read = read, &rows = rows](index first, index length) {
      Eigen::RowVectorXd in(m.x_dimensions()), out(m.y_dimensions());
      for (index i = first; i < first + length; ++i) {
        const index row = rows[static_cast<std::size_t>(done + i)];
        read(0, row, in.data());
        read(1, row, out.data());
        out *= m.target_scale;
        if (m.target_is_update) out -= in * m.target_scale;
        t.row(i) = (out - m.target_shift) - m.target_drift;
        in *= m.x_scale;
        in = (in - m.x_shift) - m.x_drift;
        x.row(i) = in(problem.live()).cwiseQuotient(problem.norm().transpose());
      }
    });
    qr.add(x, t);
  }

  const Eigen::ColPivHouseholderQR<Eigen::MatrixXd> pivoted(qr.r());
  const Eigen::VectorXd pivots = pivoted.matrixQR().diagonal().cwiseAbs();
  const double cutoff = 16.0 * std::sqrt(static_cast<double>(d)) * unit_roundoff * pivots[0];
  const index limit = std::min<index>(pivots.size(), problem.degrees_of_freedom());
  index rank = 0;
  while (rank < limit && pivots[rank] > cutoff) ++rank;

  Eigen::MatrixXd z = qr.z();
  for_column_tiles(z, [&](auto columns) { columns.applyOnTheLeft(pivoted.householderQ().adjoint()); });
  const auto upper = pivoted.matrixQR().topLeftCorner(rank, rank).triangularView<Eigen::Upper>();
  Eigen::MatrixXd a = z.topRows(rank);
  for_column_tiles(a, [&](auto columns) { upper.solveInPlace(columns); });

  regression out;
  out.method = solver::orthogonal;
  out.rank = rank;
  const auto normal = [&](const Eigen::VectorXd& v) -> Eigen::VectorXd {
    return upper.transpose() * Eigen::VectorXd(upper * v);
  };
  const auto inverse = [&](const Eigen::VectorXd& v) -> Eigen::VectorXd {
    return upper.solve(Eigen::VectorXd(upper.transpose().solve(v)));
  };
  const double largest = std::sqrt(largest_eigenvalue(rank, normal));
  const double smallest = 1.0 / std::sqrt(largest_eigenvalue(rank, inverse));
  out.condition = std::max(1.0, largest / smallest);
  out.discarded_energy = pivoted.matrixQR()
                             .bottomRightCorner(pivots.size() - rank, d - rank)
                             .triangularView<Eigen::Upper>()
                             .toDenseMatrix()
                             .squaredNorm() /
                         static_cast<double>(d);

  const Eigen::RowVectorXd residual = qr.left() + z.bottomRows(z.rows() - rank).colwise().squaredNorm();
  out.residual_energy = residual.sum();
  const double gamma = problem.gamma_orthogonal();
  const indices kept = pivoted.colsPermutation().indices().head(rank).cast<index>();
  const double theta = 2.0 * gamma * problem.inflation(kept).norm() / smallest;
  for (index c = 0; c < a.cols(); ++c) {
    const double reach =
        gamma * (a.col(c).lpNorm<1>() / (1.0 - std::min(0.5, theta)) + std::sqrt(m.target_energy[c]));
    out.residual_error += 2.0 * reach * std::sqrt(residual[c]) + reach * reach;
  }
  out.residual_error += update_rounding(m, out.residual_energy);
  out.solution = problem.solution(std::move(a), kept);
  if (out.residual_error <= allowed || rank == problem.degrees_of_freedom() || !(theta < 0.5)) return out;

  refinement refined(problem, data, out.solution);
  if (m.x_dimensions() == m.y_dimensions()) out.update_energy = refined.update_energy();
  for (int step = 0; step < 3; ++step) {
    auto [gradient, energy, rounding] = refined.measure();
    for_column_tiles(gradient, [&](auto columns) { upper.transpose().solveInPlace(columns); });
    const Eigen::RowVectorXd projected = gradient.colwise().squaredNorm();
    const double left = (energy - projected).cwiseMax(0.0).sum();
    const double error = projected.sum() * (1.0 / ((1.0 - theta) * (1.0 - theta)) - 1.0) +
                         rounding_of(n, 1, 0.0) * energy.sum() +
                         (2.0 * rounding.cwiseProduct(energy.cwiseSqrt()) + rounding.cwiseAbs2()).sum();
    if (error < out.residual_error) out.residual_energy = left, out.residual_error = error;
    for_column_tiles(gradient, [&](auto columns) { upper.solveInPlace(columns); });
    refined.improve(gradient);
    if (error <= allowed) break;
  }
  out.solution.a = refined.solution();
  return out;
}

/// Solves by the chosen method; `data` is null where only moments are left. `energy` is what the tolerance on
/// residual_error is relative to. The moments must have variance in x.
inline regression solve_as_given(const scaled_problem& problem, solver method, double tolerance,
                                 double energy, const pair_data* data) {
  if (method == solver::rank_revealing) return solve_rank_revealing(problem);
  if (method == solver::orthogonal) {
    if (data == nullptr)
      fail<shape_error>("a method that works on moments", "solver::orthogonal, which needs the data",
                        {.operand = "linearity_options"});
    return solve_orthogonal(problem, *data, tolerance * energy);
  }
  std::optional<regression> fit;
  if (problem.size() <= problem.degrees_of_freedom()) fit = solve_cholesky(problem);
  if (method == solver::cholesky) {
    if (!fit)
      fail<degenerate_input_error>("linearly independent columns, as solver::cholesky needs",
                                   "columns that are dependent within rounding", {.operand = "X"});
    return *std::move(fit);
  }
  if (fit && fit->residual_error <= tolerance * energy) return *std::move(fit);
  if (data != nullptr) return solve_orthogonal(problem, *data, tolerance * energy);
  regression revealing = solve_rank_revealing(problem);
  return fit && fit->residual_error <= revealing.residual_error ? *std::move(fit) : std::move(revealing);
}

/// solve_as_given(), and what holds whatever the method.
inline regression solve(const pair_moments& moments, solver method, double tolerance, double energy,
                        const pair_data* data = nullptr) {
  const scaled_problem problem(moments);
  regression fit = solve_as_given(problem, method, tolerance, energy, data);
  if (fit.rank == problem.degrees_of_freedom())
    fit.residual_energy = fit.residual_error = 0.0;  // X spans every direction there is
  return fit;
}

}  // namespace detail
}  // namespace layerwise
