// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/bounded.hpp>
#include <layerwise/kernel/scaling.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

// Renyi's entropy of the shares of numbers that are known up to an error each.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// A number >= 0, between two others.
struct enclosed {
  double value, least, most;
};
using enclosed_numbers = std::vector<enclosed>;

/// The shares of numbers in their total, and what is known of them; `most` is at most 1.
inline enclosed_numbers shares_in(enclosed_numbers of, const enclosed& total) {
  const double slack = 4.0 * unit_roundoff;
  for (enclosed& x : of) {
    const double most = total.least > 0.0 ? x.most / total.least : 1.0;
    x = {x.value / total.value, x.least / total.most * (1.0 - slack), (std::min)(1.0, most * (1.0 + slack))};
  }
  return of;
}

/// psi(x) = (x^alpha - x) / (1 - alpha), which goes to -x ln x for alpha -> 1 without cancellation. Concave on [0, 1],
/// 0 at both ends.
class entropy_term {
 public:
  explicit entropy_term(double alpha)
      : alpha_(alpha), peak_(std::exp(alpha == 1.0 ? -1.0 : std::log(alpha) / (1.0 - alpha))) {}

  double operator()(double x) const {
    if (!(x > 0.0)) return 0.0;
    const double log = std::log(x);
    return alpha_ == 1.0 ? -x * log : x * std::expm1((alpha_ - 1.0) * log) / (1.0 - alpha_);
  }

  /// How far psi of what is enclosed can be from what is computed as psi(value).
  double reach(const enclosed& x) const {
    const double at = (*this)(x.value);
    double reach = (std::max)(std::abs((*this)(x.least) - at), std::abs((*this)(x.most) - at));
    if (x.least < peak_ && peak_ < x.most) reach = (std::max)(reach, (*this)(peak_)-at);
    return reach + rounding(x.value) + rounding(x.most) + rounding(x.least);
  }

 private:
  /// Of the logarithm, and of what follows.
  double rounding(double x) const {
    if (!(x > 0.0)) return 0.0;
    const double log = std::log(x), power = (std::max)(x, std::exp(alpha_ * log));
    return 4.0 * unit_roundoff * (std::abs((*this)(x)) + std::abs(log) * power);
  }

  double alpha_, peak_;
};

/// For alpha near 1: S = ln(1 + (1 - alpha) Psi) / (1 - alpha), or Psi for alpha = 1, with Psi the sum of psi(p). It
/// grows with Psi.
inline bounded entropy_near_one(const enclosed_numbers& shares, double alpha) {
  const entropy_term psi(alpha);
  double sum = 0.0, reach = 0.0;
  for (const enclosed& share : shares) sum += psi(share.value), reach += psi.reach(share);
  const double slack = (static_cast<double>(shares.size()) + 8.0) * unit_roundoff;
  reach += slack * sum;
  const auto entropy = [&](double of) {
    return alpha == 1.0 ? of : std::log1p((std::max)(-1.0, (1.0 - alpha) * of)) / (1.0 - alpha);
  };
  const double found = entropy(sum);
  const double error = (std::max)(entropy(sum + reach) - found, found - entropy((std::max)(0.0, sum - reach)));
  return {found, error + slack * found};
}

/// (alpha ln p_max + ln(sum (p / p_max)^alpha)) / (1 - alpha), of one member of the enclosures; and its rounding.
inline bounded entropy_of_powers(const enclosed_numbers& shares, double alpha, double enclosed::* member) {
  double largest = 0.0, sum = 0.0, rounding = 0.0;
  for (const enclosed& share : shares) largest = (std::max)(largest, share.*member);
  if (!(largest > 0.0)) return {0.0, HUGE_VAL};
  const double log_largest = std::log(largest);
  for (const enclosed& share : shares) {
    if (!(share.*member > 0.0)) continue;
    const double log = std::log(share.*member), power = std::exp(alpha * (log - log_largest));
    sum += power;
    rounding += power * alpha * (std::abs(log) + std::abs(log_largest));
  }
  const double of_sum = static_cast<double>(shares.size()) + 4.0 * rounding / sum;
  const double terms = std::abs(alpha * log_largest) + std::log(sum);
  return {(alpha * log_largest + std::log(sum)) / (1.0 - alpha),
          unit_roundoff * (of_sum + 8.0 * (1.0 + terms)) / std::abs(1.0 - alpha)};
}

/// Renyi's entropy S = ln(sum p^alpha) / (1 - alpha) of shares p, of which at most `most` are not 0; alpha = 1: Shannon's,
/// -sum p ln p. In [0, ln most].
inline bounded entropy_of(const enclosed_numbers& shares, double alpha, index most) {
  bounded found;
  if (std::abs(alpha - 1.0) <= 0.5) {
    found = entropy_near_one(shares, alpha);
  } else {
    const bounded low = entropy_of_powers(shares, alpha, &enclosed::least);
    const bounded high = entropy_of_powers(shares, alpha, &enclosed::most);
    found = entropy_of_powers(shares, alpha, &enclosed::value);
    found.error +=
        (std::max)(std::abs(low.value - found.value) + low.error, std::abs(high.value - found.value) + high.error);
  }
  const double limit = std::log(static_cast<double>(most)), value = std::clamp(found.value, 0.0, limit);
  return {value, (std::min)(found.error + 4.0 * unit_roundoff * limit, (std::max)(value, limit - value))};
}

/// exp of an entropy, the number of equal shares that has it: in [1, most].
inline bounded number_of_shares(const bounded& entropy, index most) {
  const double limit = static_cast<double>(most), value = std::clamp(std::exp(entropy.value), 1.0, limit);
  const double error = value * (std::expm1(entropy.error) + 4.0 * unit_roundoff * (1.0 + entropy.value));
  return {value, (std::min)(error, (std::max)(value - 1.0, limit - value))};
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
