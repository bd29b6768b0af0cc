#include <layerwise/kernel/scaled_sum.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

namespace {

using layerwise::detail::root_of_ratio;
using layerwise::detail::scaled_sum;
using layerwise_test::near;

TEST_CASE("sums outside the range of double") {
  std::mt19937 random(5);
  std::uniform_real_distribution<double> mantissa(0.001, 1000);
  std::uniform_int_distribution<int> power(-4000, 4000);
  for (int i = 0; i < 200; ++i) {
    scaled_sum a, b;
    long double exact_a = 0, exact_b = 0;
    const int center = power(random);
    std::uniform_int_distribution<int> nearby(center - 40, center + 40);
    for (int k = 0; k < 20; ++k) {
      const double x = mantissa(random), y = mantissa(random);
      const int p = nearby(random), q = nearby(random);
      a.add(x, p);
      b.add(y, q);
      exact_a += std::scalbn(static_cast<long double>(x), p);
      exact_b += std::scalbn(static_cast<long double>(y), q);
    }
    CHECK(static_cast<double>(std::scalbn(static_cast<long double>(a.mantissa), a.exponent) / exact_a) == near(1));
    CHECK(root_of_ratio(a, b) == near(static_cast<double>(std::sqrt(exact_a / exact_b))));
    scaled_sum both = a;
    both.add(b);
    CHECK(static_cast<double>(std::scalbn(static_cast<long double>(both.mantissa), both.exponent) /
                              (exact_a + exact_b)) == near(1));
  }
  scaled_sum sum;
  const auto value = [&] { return std::scalbn(sum.mantissa, sum.exponent); };
  CHECK(value() == 0);
  sum.add(0.75);
  sum.add(0);
  sum.add(2.5, 1);
  CHECK(value() == 5.75);
  sum.add(1, 5000);
  CHECK(std::isinf(value()));
}

}  // namespace
