#include <layerwise/kernel/bounded.hpp>

#include <layerwise/kernel/scaling.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace {

using layerwise::detail::bounded;
using layerwise::detail::unit_roundoff;

/// The largest |f(A, B) - value| over the exact values that a and b allow: f is monotone in each.
template <class Function>
long double worst_case(const bounded& a, const bounded& b, double value, const Function& f) {
  long double worst = 0;
  for (const long double of_a : {-1.0L, 1.0L})
    for (const long double of_b : {-1.0L, 1.0L})
      worst = (std::max)(worst, std::abs(f(a.value + of_a * a.error, b.value + of_b * b.error) - value));
  return worst;
}

/// That the error is the worst case, up to the rounding of the value (and of long double).
template <class Function>
void check_error(const bounded& a, const bounded& b, const bounded& result, const Function& f) {
  CAPTURE(a.value);
  CAPTURE(a.error);
  CAPTURE(b.value);
  CAPTURE(b.error);
  const long double worst = worst_case(a, b, result.value, f), size = std::abs(result.value);
  CHECK(result.error >= worst * (1 - 0x1p-60L) - 0x1p-60L * size);
  CHECK(result.error <= worst * (1 + 0x1p-40L) + 2 * unit_roundoff * size);
}

TEST_CASE("the error of a product and of a quotient is what it is at worst") {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> power(-60, -1);
  for (int i = 0; i < 2000; ++i) {
    const auto draw = [&] {
      const double value = normal(random) * std::exp2(power(random) / 4);
      return bounded{value, i % 5 == 0 ? 0.0 : std::abs(value) * std::exp2(power(random))};
    };
    const bounded a = draw(), b = draw();
    const bounded product = a * b, quotient = a / b;
    CHECK(product.value == a.value * b.value);
    CHECK(quotient.value == a.value / b.value);
    check_error(a, b, product, [](long double x, long double y) { return x * y; });
    check_error(a, b, quotient, [](long double x, long double y) { return x / y; });
  }
}

TEST_CASE("bounds hold through a chain of operations") {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> value(0.5, 2), share(-1, 1);
  for (int i = 0; i < 1000; ++i) {
    bounded result{1.0};
    long double exact = 1;
    for (int k = 0; k < 20; ++k) {
      const bounded factor{value(random), 1e-12};
      const long double of_factor = factor.value + share(random) * 1e-12L;
      result = k % 2 == 0 ? result * factor : result / factor;
      exact = k % 2 == 0 ? exact * of_factor : exact / of_factor;
    }
    CHECK(result.error >= std::abs(exact - result.value));
    CHECK(result.error <= 20 * 3e-12 * result.value);
  }
}

TEST_CASE("of a quotient by what may be 0 nothing is known") {
  for (const double numerator : {0.0, 1.0, -3.0})
    for (const bounded& denominator : {bounded{0.0}, bounded{1e-3, 1e-3}, bounded{-1e-3, 2e-3}, bounded{0.0, 1.0}})
      CHECK((bounded{numerator, 1e-3} / denominator).error == HUGE_VAL);
}

TEST_CASE("an error is never NaN, nor below 0") {
  const double infinity = std::numeric_limits<double>::infinity();
  const double values[] = {0.0, 1.0, -1.0, 1e-310, 1e300, infinity, std::numeric_limits<double>::quiet_NaN()};
  const double errors[] = {0.0, 1e-310, 1.0, 1e300, infinity};
  for (const double a : values)
    for (const double b : values)
      for (const double of_a : errors)
        for (const double of_b : errors) {
          CHECK((bounded{a, of_a} * bounded{b, of_b}).error >= 0.0);
          CHECK((bounded{a, of_a} / bounded{b, of_b}).error >= 0.0);
        }
}

}  // namespace
