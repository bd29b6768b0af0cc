#include "statistics.hpp"

#include <cmath>
#include <numbers>
#include <stdexcept>

namespace pretraining {
namespace {

/// P(-t < T < t) for T of Student's distribution, with theta = atan(t / sqrt(freedom)): the finite sums of
/// Abramowitz and Stegun, 26.7.3 and 26.7.4.
double central_probability(double t, std::size_t freedom) {
  const double theta = std::atan(t / std::sqrt(static_cast<double>(freedom)));
  const double cosine = std::cos(theta), sine = std::sin(theta);
  const bool odd = freedom % 2 == 1;
  double term = odd ? cosine : 1, sum = 0;
  for (std::size_t k = odd ? 3 : 2; k <= freedom; k += 2) {
    sum += term;
    const auto n = static_cast<double>(k);
    term *= (n - 1) / n * cosine * cosine;
  }
  return odd ? 2 / std::numbers::pi * (theta + sine * sum) : sine * sum;
}

}  // namespace

double student_quantile(std::size_t freedom) {
  if (freedom < 1) throw std::invalid_argument("expected at least one degree of freedom, got 0");
  double low = 0, high = 16;  // 12.7 is the largest, with one degree of freedom
  while (high - low > 1e-12) {
    const double middle = (low + high) / 2;
    (central_probability(middle, freedom) < 0.95 ? low : high) = middle;
  }
  return (low + high) / 2;
}

interval interval_of(std::span<const double> values) {
  if (values.empty()) throw std::invalid_argument("expected values, got none");
  const auto n = static_cast<double>(values.size());
  interval out{.mean = 0, .half_width = std::nullopt, .count = values.size()};
  for (const double value : values) out.mean += value / n;
  if (values.size() < 2) return out;
  double squares = 0;
  for (const double value : values) squares += (value - out.mean) * (value - out.mean);
  out.half_width = student_quantile(values.size() - 1) * std::sqrt(squares / (n - 1) / n);
  return out;
}

verdict judge(const interval& claimed_positive) {
  if (!claimed_positive.half_width || !(std::abs(claimed_positive.mean) > *claimed_positive.half_width))
    return verdict::unclear;
  return claimed_positive.mean > 0 ? verdict::reproduced : verdict::not_reproduced;
}

std::string_view text_of(verdict v) {
  switch (v) {
    case verdict::reproduced:
      return "reproduced";
    case verdict::not_reproduced:
      return "not reproduced";
    default:
      return "unclear";
  }
}

}  // namespace pretraining
