// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/kernel/bounded.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/kernel/symmetric_eigenvalues.hpp>
#include <layerwise/kernel/vectors.hpp>
#include <layerwise/metrics/detail/entropy.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>
#include <layerwise/statistics/scatter.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <utility>

// The second moments of a layer near 1, and what their spectrum says: templates, which cost nothing where they are not
// called.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// x^T x times 2^-exponent, the largest entry of the diagonal in [1, 2), and how far rounding can have moved it.
struct layer_variance {
  matrix sums;  ///< d x d
  int exponent = 0;
  double error = 0.0;  ///< of `sums`, in the Frobenius norm
  bounded trace;
  bounded norm;         ///< Frobenius
  index most_rank = 0;  ///< what tokens, columns and different rows allow

  template <std::same_as<scatter> Scatter>
  explicit layer_variance(const Scatter& s) {
    const bool centred = s.centering == centering::columns;
    double peak = 0.0;
    for (index j = 0; j < s.xx.cols(); ++j) peak = (std::max)(peak, s.xx(j, j));
    if (!(peak > least_energy)) refuse(centred, centred ? "no variance" : "zeros only");
    exponent = std::ilogb(peak);
    const double factor = std::ldexp(1.0, -exponent), d = static_cast<double>(s.xx.cols());
    sums = s.xx;
    sums *= factor;
    error = s.rounding.of_xx() * factor;
    most_rank = (std::min)({s.xx.cols(), s.degrees_of_freedom(), s.different_rows - (centred ? 1 : 0)});
    double sum = 0.0, squares = 0.0;
    for (index j = 0; j < sums.cols(); ++j) sum += sums(j, j), squares += squared_norm(column(sums, j), sums.rows());
    trace = {sum, error + d * unit_roundoff * sum};
    norm = {std::sqrt(squares), error + (2.0 * d + 2.0) * unit_roundoff * std::sqrt(squares)};
    if (!(trace.value > trace.error) || most_rank < 1) refuse(centred, "what rounding can have made");
  }

  double largest_rank() const { return static_cast<double>(most_rank); }

  /// (tr S)^2 / ||S||_F^2
  bounded participation_ratio() const {
    const bounded ratio = trace / norm;
    return kept_within(ratio * ratio, 1.0, largest_rank());
  }

 private:
  static void refuse(bool centred, const char* got) {
    fail<degenerate_input_error>(centred ? "rows that differ" : "rows other than zero", got, {.operand = "X"});
  }
};

/// Its largest eigenvalues, and what is made of all of them. An eigenvalue that rounding can have made counts as 0.
template <std::same_as<layer_variance> Variance>
class layer_spectrum {
 public:
  /// `count` of them are asked for; 0 stands for all.
  explicit layer_spectrum(const Variance& v, index count = 0)
      : values_(largest_eigenvalues(v.sums, count > 0 ? count : v.sums.rows())),
        error_(v.error + eigenvalue_rounding(v.sums.rows()) * (v.norm.value + v.norm.error)),
        trace_(v.trace),
        most_rank_(v.most_rank) {
    for (index k = 0; k < values_.size(); ++k)
      if (k >= most_rank_ || !(values_[k] > error_)) values_[k] = 0.0;
    if (!(values_[0] > 0.0))
      fail<degenerate_input_error>("a variance beyond what rounding can have made", text(values_[0]), {.operand = "X"});
  }

  const Eigen::VectorXd& values() const { return values_; }
  double error() const { return error_; }
  index rank() const {
    index rank = 0;
    while (rank < values_.size() && values_[rank] > 0.0) ++rank;
    return rank;
  }

  /// lambda_1 / tr S
  bounded anisotropy() const { return kept_within(largest() / trace_, 1.0 / static_cast<double>(most_rank_), 1.0); }
  /// tr S / lambda_1
  bounded stable_rank() const { return kept_within(trace_ / largest(), 1.0, static_cast<double>(most_rank_)); }

  /// sigma_1 / sigma_rank
  bounded condition() const {
    const bounded ratio = largest() / bounded{values_[rank() - 1], error_};
    const double root = (std::max)(1.0, std::sqrt(ratio.value));
    return {root, ratio.error / root + 2.0 * unit_roundoff * root};
  }

  /// Of the eigenvalues, in units of the sums of squares.
  bounded entropy(double alpha) const {
    enclosed_numbers numbers;
    double sum = 0.0;
    for (index k = 0; k < (std::min)(values_.size(), most_rank_); ++k) numbers.push_back(around(k)), sum += values_[k];
    const double off =
        std::abs(trace_.value - sum) + trace_.error + static_cast<double>(values_.size()) * unit_roundoff * sum;
    return entropy_of(shares_in(std::move(numbers), {sum, sum - off, sum + off}), alpha, most_rank_);
  }

  /// exp of the entropy of the singular values.
  bounded effective_rank() const {
    enclosed_numbers roots;
    enclosed sum{0.0, 0.0, 0.0};
    const double slack = (static_cast<double>(values_.size()) + 4.0) * unit_roundoff;
    for (index k = 0; k < (std::min)(values_.size(), most_rank_); ++k) {
      const enclosed x = around(k);
      roots.push_back({std::sqrt(x.value), std::sqrt(x.least) * (1.0 - slack), std::sqrt(x.most) * (1.0 + slack)});
      sum.value += roots.back().value, sum.least += roots.back().least, sum.most += roots.back().most;
    }
    sum.least *= 1.0 - slack, sum.most *= 1.0 + slack;
    return number_of_shares(entropy_of(shares_in(std::move(roots), sum), 1.0, most_rank_), most_rank_);
  }

 private:
  bounded largest() const { return {values_[0], error_}; }

  /// Where eigenvalue k is; one that counts as 0 is below twice the error.
  enclosed around(index k) const {
    const double value = values_[k];
    return {value, (std::max)(0.0, value - error_), value > 0.0 ? value + error_ : 2.0 * error_};
  }

  Eigen::VectorXd values_;
  double error_;
  bounded trace_;
  index most_rank_;
};

}  // namespace layerwise::inline LAYERWISE_ABI::detail
