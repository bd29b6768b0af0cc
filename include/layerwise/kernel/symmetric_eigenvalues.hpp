// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/vectors.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <utility>

// Eigenvalues of a symmetric matrix, without the eigenvectors: Householder's tridiagonal form, and bisection on it.
//   W. Barth, R. S. Martin and J. H. Wilkinson, Calculation of the eigenvalues of a symmetric tridiagonal matrix by the
//   method of bisection, 1967
// Written out for as many of the largest as are asked for, and for several threads, whose number the bits do not depend
// on; as templates, which cost nothing where they are not called.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// A symmetric matrix that is zero but for its diagonal (d) and the entries beside it (d - 1).
struct tridiagonal_matrix {
  Eigen::VectorXd diagonal, offdiagonal;
};

/// I - tau v v^T, with v from entry `first` on; tau = 0 is the identity.
struct tridiagonal_reflector {
  Eigen::VectorXd v;
  double tau = 0.0;

  /// What takes column `first - 1` of a, below its diagonal, to a multiple of the first unit vector; returns the
  /// multiple. A tail below 2^-450, of a matrix near 1, is left out.
  double start(const matrix& a, index first) {
    const index n = a.rows();
    const double* x = column(a, first - 1);
    const double tail = squared_norm(x + first + 1, n - first - 1), head = x[first];
    tau = 0.0;
    if (!(tail > negligible_sum)) return head;
    const double length = std::sqrt(head * head + tail), to = head > 0.0 ? -length : length;
    for (index i = first; i < n; ++i) v[i] = x[i] / length;  // for tau to be within 1/2 and 1
    v[first] -= to / length;
    tau = length / (length + std::abs(head));
    return to;
  }
};

/// Householder's reduction, one walk over the trailing matrix a step: it takes out the rank 2 of the step before, and
/// multiplies what is left by the next reflector's vector.
template <class Matrix = matrix>
class tridiagonalization {
 public:
  explicit tridiagonalization(Matrix a)
      : a_(std::move(a)), parts_(a_.rows(), chunks(a_.rows())), w_(Eigen::VectorXd::Zero(a_.rows())), p_(a_.rows()) {
    before_.v = now_.v = w_;
  }

  tridiagonal_matrix reduce() {
    const index n = a_.rows();
    tridiagonal_matrix out{Eigen::VectorXd(n), Eigen::VectorXd((std::max<index>)(n - 1, 0))};
    for (index k = 0; k < n; ++k) {
      take_out(k);
      out.diagonal[k] = a_(k, k);
      if (k + 1 == n) break;
      out.offdiagonal[k] = now_.start(a_, k + 1);
      multiply(k + 1);
      finish(k + 1);
    }
    return out;
  }

 private:
  /// Columns of one chunk of a trailing matrix of m columns: of 2^16 entries at least.
  static index width(index m) { return (std::max<index>)(64, 65536 / (std::max<index>)(m, 1)); }
  static index chunks(index m) { return (m + width(m) - 1) / width(m); }

  /// a(j.., j) -= v_j w + w_j v, of the step before.
  void take_out(index j) {
    const index count = a_.rows() - j;
    if (before_.tau == 0.0) return;
    add_multiple(-w_[j], &before_.v[j], column(a_, j) + j, count);
    add_multiple(-before_.v[j], &w_[j], column(a_, j) + j, count);
  }

  /// p = a v of the trailing matrix from column `first` on, of which the lower triangle is there.
  void multiply(index first) {
    const index n = a_.rows(), m = n - first;
    parallel_chunks(m, width(m), [&](index start, index count) {
      double* part = column(parts_, start / width(m));
      std::fill(part + first + start, part + n, 0.0);
      for (index j = first + start; j < first + start + count; ++j) {
        take_out(j);
        if (now_.tau == 0.0) continue;
        const double* x = column(a_, j);
        part[j] += dot(x + j, &now_.v[j], n - j);
        add_multiple(now_.v[j], x + j + 1, part + j + 1, n - j - 1);
      }
    });
    std::fill(p_.data() + first, p_.data() + n, 0.0);
    for (index c = 0, from = first; from < n; ++c, from += width(m))
      add_multiple(1.0, column(parts_, c) + from, &p_[from], n - from);
  }

  /// w = tau p - (tau^2 p^T v / 2) v: then H a H = a - v w^T - w v^T.
  void finish(index first) {
    const index m = a_.rows() - first;
    const double tau = now_.tau, half = 0.5 * tau * tau * dot(&p_[first], &now_.v[first], m);
    for (index i = first; i < a_.rows(); ++i) w_[i] = tau * p_[i] - half * now_.v[i];
    std::swap(before_, now_);
  }

  Matrix a_, parts_;
  tridiagonal_reflector before_, now_;
  Eigen::VectorXd w_, p_;
};

/// Points at which eigenvalues are counted together, in vector registers.
inline constexpr index sturm_lanes = 8;
using sturm_points = std::array<double, sturm_lanes>;

/// How many eigenvalues are below each x: the negative pivots of T - x (Sturm). Exact, of a matrix whose entries beside
/// the diagonal are off by less than 3 u of themselves. Entries near 1; `squares` are those of the offdiagonal.
inline sturm_points count_below(const Eigen::VectorXd& diagonal, const Eigen::VectorXd& squares,
                                const sturm_points& x) {
  constexpr double least_pivot = 1e-290;
  sturm_points pivot{}, count{};
  pivot.fill(1.0);
  for (index i = 0; i < diagonal.size(); ++i) {
    const double a = diagonal[i], b = i > 0 ? squares[i - 1] : 0.0;
    for (std::size_t l = 0; l < x.size(); ++l) {
      const double next = a - x[l] - b / pivot[l];
      pivot[l] = std::abs(next) < least_pivot ? -least_pivot : next;
      count[l] += pivot[l] < 0.0 ? 1.0 : 0.0;
    }
  }
  return count;
}

/// The `count` largest eigenvalues, descending: each to 8 u of the matrix' norm.
template <std::same_as<tridiagonal_matrix> Tridiagonal>
Eigen::VectorXd largest_eigenvalues(const Tridiagonal& t, index count) {
  const index n = t.diagonal.size();
  const auto beside = [&](index i) { return i >= 0 && i + 1 < n ? std::abs(t.offdiagonal[i]) : 0.0; };
  double reach = 0.0;  // Gershgorin's discs, and their rounding
  Eigen::VectorXd squares(t.offdiagonal.size());
  for (index i = 0; i < n; ++i) reach = (std::max)(reach, std::abs(t.diagonal[i]) + beside(i - 1) + beside(i));
  for (index i = 0; i < squares.size(); ++i) squares[i] = t.offdiagonal[i] * t.offdiagonal[i];
  reach *= 1.0 + 16.0 * unit_roundoff;

  Eigen::VectorXd values(count);
  parallel_chunks(count, sturm_lanes, [&](index first, index some) {
    sturm_points below, above, x;
    below.fill(-reach), above.fill(reach);
    for (double width = 2.0 * reach; width > unit_roundoff * reach; width *= 0.5) {
      for (std::size_t l = 0; l < x.size(); ++l) x[l] = below[l] + 0.5 * (above[l] - below[l]);
      const sturm_points counts = count_below(t.diagonal, squares, x);
      for (std::size_t l = 0; l < x.size(); ++l) {
        const index larger = n - static_cast<index>(counts[l]);  // eigenvalues that are not below x
        (larger > (std::min)(first + static_cast<index>(l), count - 1) ? below : above)[l] = x[l];
      }
    }
    for (index l = 0; l < some; ++l) values[first + l] = at(below, l) + 0.5 * (at(above, l) - at(below, l));
  });
  return values;
}

/// How far largest_eigenvalues() of a tridiagonalization can be from those of the matrix, in units of its Frobenius
/// norm. 8 is for the bisection. A step of the reduction is off by the rounding of sums of at most d terms, a small
/// multiple of sqrt(d) u where errors have either sign, and d steps by sqrt(d) times that. (Were all of them aligned,
/// which no matrix is known to do, it were d^2.)
inline double eigenvalue_rounding(index d) { return unit_roundoff * (8.0 * static_cast<double>(d) + 8.0); }

/// The `count` largest eigenvalues of a symmetric matrix whose entries are not far from 1, of which the lower triangle
/// is read, descending. 4/3 d^3 flops, and 55 d divisions an eigenvalue.
template <std::same_as<matrix> Matrix>
Eigen::VectorXd largest_eigenvalues(const Matrix& a, index count) {
  return largest_eigenvalues(tridiagonalization<Matrix>(a).reduce(), count);
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
