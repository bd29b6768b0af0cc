#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace pretraining {

/// The mean of some values, and how far the mean of their distribution may be from it.
struct interval {
  double mean = 0;
  /// t s / sqrt(n), with s the standard deviation and t the quantile of Student's distribution for 95 % and n
  /// - 1 degrees of freedom. Empty for one value.
  std::optional<double> half_width;
  std::size_t count = 0;
};

/// For values that are independent and normal. Throws std::invalid_argument for none.
interval interval_of(std::span<const double> values);

/// t with P(-t < T < t) = 0.95 for T of Student's distribution. freedom >= 1.
double student_quantile(std::size_t freedom);

/// The rule by which a claim is judged, from the interval of a number that the claim says is positive.
enum class verdict {
  reproduced,      // the whole interval is above 0
  not_reproduced,  // the whole interval is below 0
  unclear,         // 0 is in the interval, or there is none
};
verdict judge(const interval& claimed_positive);
std::string_view text_of(verdict v);

}  // namespace pretraining
