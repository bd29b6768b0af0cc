// The linearity scores of a pair in exact arithmetic. Doubles are integers times powers of two, so the second
// moments are integers, and fraction-free elimination (Bareiss) keeps them: the rank is the rank, and every
// energy is right to the 700 bits that the last division is taken to. It shares nothing with the library but
// the definition.
#pragma once

#include <Eigen/Core>

#include <gmpxx.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace layerwise_test {

inline constexpr int reference_bits = 700;

/// A column as integers times 2^unit.
struct dyadic_column {
  std::vector<mpz_class> values;
  long unit = 0;
};

/// The exponent of the lowest bit of v, which is not 0.
inline long lowest_bit(double v) {
  int exponent;
  const auto digits = static_cast<std::int64_t>(std::ldexp(std::frexp(v, &exponent), 53));
  return exponent - 53 + std::countr_zero(static_cast<std::uint64_t>(digits));
}

/// v / 2^unit, where that is an integer.
inline mpz_class in_units(double v, long unit) {
  if (v == 0.0) return 0;
  int exponent;
  mpz_class digits(std::ldexp(std::frexp(v, &exponent), 53));
  const long shift = exponent - 53 - unit;
  if (shift >= 0)
    digits <<= static_cast<mp_bitcnt_t>(shift);
  else
    digits >>= static_cast<mp_bitcnt_t>(-shift);
  return digits;
}

template <class Column>
dyadic_column make_dyadic(const Column& column) {
  dyadic_column out;
  bool found = false;
  for (Eigen::Index i = 0; i < column.size(); ++i)
    if (column[i] != 0.0) {
      const long unit = lowest_bit(column[i]);
      out.unit = found ? (std::min)(out.unit, unit) : unit;
      found = true;
    }
  for (Eigen::Index i = 0; i < column.size(); ++i) out.values.push_back(in_units(column[i], out.unit));
  return out;
}

/// value * 2^exponent
inline mpf_class scaled(const mpz_class& value, long exponent) {
  mpf_class out(value, reference_bits);
  if (exponent >= 0)
    mpf_mul_2exp(out.get_mpf_t(), out.get_mpf_t(), static_cast<mp_bitcnt_t>(exponent));
  else
    mpf_div_2exp(out.get_mpf_t(), out.get_mpf_t(), static_cast<mp_bitcnt_t>(-exponent));
  return out;
}

/// A column to be explained: its products with the columns of X, and with itself.
struct exact_target {
  std::vector<mpz_class> with_x;
  mpz_class energy;
  long unit = 0;
};

/// What columns of X leave of the targets.
struct exact_fit {
  std::vector<Eigen::Index> independent;         ///< of the columns, those that were not dependent on earlier ones
  std::vector<mpf_class> left;                   ///< energy of each target that is not explained
  std::vector<std::vector<mpz_class>> triangle;  ///< what elimination made of [X^T X, X^T T]
};

/// Real matrices by rows, for what is no ratio of integers.
using real_matrix = std::vector<std::vector<mpf_class>>;

inline mpf_class real(double value = 0.0) { return {value, reference_bits}; }

/// ds/dX and ds/dY, where X has independent columns.
struct exact_gradients {
  real_matrix of_x, of_y;
};

/// X, Y, and if d_x = d_y, Y - X. Energies are n times what they are where columns are centred: only ratios
/// are taken.
class exact_pair {
 public:
  exact_pair(const Eigen::MatrixXd& x, const Eigen::MatrixXd& y, bool centered)
      : x_(x.cols()), centered_(centered), n_(x.rows()) {
    std::vector<dyadic_column> xs, ys;
    for (Eigen::Index j = 0; j < x.cols(); ++j) xs.push_back(make_dyadic(x.col(j)));
    for (Eigen::Index j = 0; j < y.cols(); ++j) ys.push_back(make_dyadic(y.col(j)));
    for (auto* columns : {&xs, &ys})
      for (dyadic_column& column : *columns) about_first(column);

    gram_.resize(xs.size(), std::vector<mpz_class>(xs.size()));
    for (std::size_t i = 0; i < xs.size(); ++i)
      for (std::size_t j = 0; j <= i; ++j) gram_[i][j] = gram_[j][i] = product(xs[i], xs[j]);
    for (const dyadic_column& column : xs) x_unit_.push_back(column.unit);
    for (const dyadic_column& column : ys) {
      exact_target target;
      for (const dyadic_column& input : xs) target.with_x.push_back(product(input, column));
      target.energy = product(column, column);
      target.unit = column.unit;
      output_.push_back(std::move(target));
    }
    if (x.cols() == y.cols())
      for (std::size_t j = 0; j < ys.size(); ++j) update_.push_back(difference(j));
    all_ = indices(x_);
    full_ = fit(all_, output_);
  }

  Eigen::Index rank() const { return static_cast<Eigen::Index>(full_.independent.size()); }
  bool has_update() const { return !update_.empty(); }

  /// tr Y^T Y, or that of Y - X.
  mpf_class energy(bool of_update) const {
    mpf_class sum(0, reference_bits);
    for (const exact_target& target : of_update ? update_ : output_) sum += scaled(target.energy, 2 * target.unit);
    return sum;
  }
  mpf_class x_energy() const {
    mpf_class sum(0, reference_bits);
    for (std::size_t j = 0; j < x_unit_.size(); ++j) sum += scaled(gram_[j][j], 2 * x_unit_[j]);
    return sum;
  }

  /// 1 - score, whose energy is not 0. Y and Y - X leave the same of all of X.
  mpf_class unexplained(bool of_update) const { return total(full_) / energy(of_update); }

  /// The same for some columns of X alone.
  mpf_class unexplained(bool of_update, const std::vector<Eigen::Index>& columns) const {
    return total(fit(columns, of_update ? update_ : output_)) / energy(of_update);
  }

  /// What the columns leave of column j of X: its energy.
  mpf_class left_of_x(Eigen::Index j, const std::vector<Eigen::Index>& columns) const {
    const auto at = static_cast<std::size_t>(j);
    return fit(columns, {{gram_[at], gram_[at][at], x_unit_[at]}}).left.front();
  }

  /// By the formulas of linearity_gradient.hpp.
  exact_gradients gradients(const Eigen::MatrixXd& x, const Eigen::MatrixXd& y, bool of_update) const {
    const auto n = static_cast<std::size_t>(x.rows()), d_x = x_unit_.size(), d_y = output_.size();
    const real_matrix xs = about_mean(x), ys = about_mean(y);
    real_matrix a(d_x, std::vector<mpf_class>(d_y, real()));  // by back substitution
    for (std::size_t c = 0; c < d_y; ++c)
      for (std::size_t i = d_x; i-- > 0;) {
        const auto& row = full_.triangle[i];
        mpf_class sum = scaled(row[d_x + c], output_[c].unit);
        for (std::size_t j = i + 1; j < d_x; ++j) sum -= scaled(row[j], x_unit_[j]) * a[j][c];
        a[i][c] = sum / scaled(row[i], x_unit_[i]);
      }
    mpf_class energy = this->energy(of_update) / real(multiple());
    const mpf_class left = unexplained(of_update), unit = 2 / energy;
    exact_gradients out{real_matrix(n, std::vector<mpf_class>(d_x, real())),
                        real_matrix(n, std::vector<mpf_class>(d_y, real()))};
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t c = 0; c < d_y; ++c) {
        mpf_class residual = ys[i][c];
        for (std::size_t j = 0; j < d_x; ++j) residual -= xs[i][j] * a[j][c];
        const mpf_class share = left * (of_update ? mpf_class(ys[i][c] - xs[i][c]) : ys[i][c]);
        out.of_y[i][c] = unit * (share - residual);
        for (std::size_t j = 0; j < d_x; ++j) out.of_x[i][j] += unit * residual * a[j][c];
        if (of_update) out.of_x[i][c] -= unit * share;
      }
    }
    return out;
  }

  /// Energies are of sums over this times the tokens.
  double multiple() const { return centered_ ? static_cast<double>(n_) : 1.0; }

 private:
  static std::vector<Eigen::Index> indices(Eigen::Index n) {
    std::vector<Eigen::Index> out;
    for (Eigen::Index i = 0; i < n; ++i) out.push_back(i);
    return out;
  }

  static mpf_class total(const exact_fit& fit) {
    mpf_class sum(0, reference_bits);
    for (const mpf_class& left : fit.left) sum += left;
    return sum;
  }

  real_matrix about_mean(const Eigen::MatrixXd& m) const {
    real_matrix out(static_cast<std::size_t>(m.rows()));
    for (Eigen::Index j = 0; j < m.cols(); ++j) {
      mpf_class mean = real();
      for (Eigen::Index i = 0; i < m.rows(); ++i) mean += real(m(i, j));
      mean = centered_ ? mpf_class(mean / real(static_cast<double>(n_))) : real();
      for (Eigen::Index i = 0; i < m.rows(); ++i) out[static_cast<std::size_t>(i)].push_back(real(m(i, j)) - mean);
    }
    return out;
  }

  /// Centring forgets it, and the integers get shorter.
  void about_first(dyadic_column& column) const {
    if (!centered_) return;
    const mpz_class first = column.values.front();
    for (mpz_class& value : column.values) value -= first;
  }

  mpz_class product(const dyadic_column& a, const dyadic_column& b) const {
    mpz_class sum = 0, sum_a = 0, sum_b = 0;
    for (std::size_t i = 0; i < a.values.size(); ++i) {
      mpz_addmul(sum.get_mpz_t(), a.values[i].get_mpz_t(), b.values[i].get_mpz_t());
      if (centered_) sum_a += a.values[i], sum_b += b.values[i];
    }
    if (!centered_) return sum;
    return static_cast<unsigned long>(n_) * sum - sum_a * sum_b;
  }

  /// Column j of Y - X, from the moments: they are exact, so cancellation costs nothing.
  exact_target difference(std::size_t j) const {
    const exact_target& y = output_[j];
    const long unit = (std::min)(y.unit, x_unit_[j]);
    const auto to_y = static_cast<mp_bitcnt_t>(y.unit - unit), to_x = static_cast<mp_bitcnt_t>(x_unit_[j] - unit);
    exact_target out;
    out.unit = unit;
    for (std::size_t i = 0; i < x_unit_.size(); ++i)
      out.with_x.push_back((y.with_x[i] << to_y) - (gram_[i][j] << to_x));
    out.energy = (y.energy << (2 * to_y)) - ((y.with_x[j] << (to_y + to_x)) << 1) + (gram_[j][j] << (2 * to_x));
    return out;
  }

  exact_fit fit(const std::vector<Eigen::Index>& columns, const std::vector<exact_target>& targets) const {
    const std::size_t d = columns.size(), width = d + targets.size();
    std::vector<std::vector<mpz_class>> a(d, std::vector<mpz_class>(width));
    std::vector<mpz_class> left(targets.size());
    for (std::size_t i = 0; i < d; ++i) {
      const auto row = static_cast<std::size_t>(columns[i]);
      for (std::size_t j = 0; j < d; ++j) a[i][j] = gram_[row][static_cast<std::size_t>(columns[j])];
      for (std::size_t c = 0; c < targets.size(); ++c) a[i][d + c] = targets[c].with_x[row];
    }
    for (std::size_t c = 0; c < targets.size(); ++c) left[c] = targets[c].energy;

    exact_fit out;
    mpz_class previous = 1;
    for (std::size_t k = 0; k < d; ++k) {  // pivots of a positive semidefinite matrix: 0 where dependent
      const mpz_class pivot = a[k][k];
      if (pivot == 0) continue;
      for (std::size_t c = 0; c < targets.size(); ++c) reduce(left[c], pivot, a[k][d + c], a[k][d + c], previous);
      for (std::size_t i = k + 1; i < d; ++i)
        for (std::size_t j = i; j < width; ++j) reduce(a[i][j], pivot, a[k][i], a[k][j], previous);
      previous = pivot;
      out.independent.push_back(columns[k]);
    }
    for (std::size_t c = 0; c < targets.size(); ++c)
      out.left.push_back(scaled(left[c], 2 * targets[c].unit) / mpf_class(previous, reference_bits));
    out.triangle = std::move(a);
    return out;
  }

  /// value = (pivot value - a b) / previous, which is an integer
  static void reduce(mpz_class& value, const mpz_class& pivot, const mpz_class& a, const mpz_class& b,
                     const mpz_class& previous) {
    value *= pivot;
    mpz_submul(value.get_mpz_t(), a.get_mpz_t(), b.get_mpz_t());
    mpz_divexact(value.get_mpz_t(), value.get_mpz_t(), previous.get_mpz_t());
  }

  Eigen::Index x_;
  bool centered_;
  Eigen::Index n_;
  std::vector<std::vector<mpz_class>> gram_;
  std::vector<long> x_unit_;
  std::vector<exact_target> output_, update_;
  std::vector<Eigen::Index> all_;
  exact_fit full_;
};

}  // namespace layerwise_test
