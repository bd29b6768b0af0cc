#include <layerwise/kernel/double_double.hpp>

#include "quad.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <random>
#include <vector>

namespace {

using layerwise::index;
using layerwise::detail::accurate_lanes;
using layerwise::detail::add_products_accurately;
using layerwise::detail::double_double;
using layerwise::detail::product_error;
using layerwise::detail::split_product_error;
using namespace layerwise_test;

double relative_error(const double_double& found, const quad& expected) {
  const quad difference = quad(found.high) + quad(found.low) - expected;
  return std::abs(static_cast<double>(difference / expected));
}

TEST_CASE("the error of a product is exact, with a fused multiply-add and without") {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> mantissa(-2, 2);
  std::uniform_int_distribution<int> exponent(-400, 400);
  const auto check = [](double x, double y) {
    const double product = x * y, error = split_product_error(x, y, product);
    CHECK(product_error(x, y, product) == error);
    CHECK((quad(x) * quad(y) - quad(product) == quad(error)));
  };
  for (int k = 0; k < 100000; ++k)
    check(std::ldexp(mantissa(random), exponent(random)), std::ldexp(mantissa(random), exponent(random)));
  // Halves that are full, empty, or carry into the exponent; a third, which MinGW's fma gets wrong; the
  // largest numbers, which Veltkamp's split loses; a denormal factor.
  for (const double x : {1.0, 1.0 / 3, 3 - 0x1p-50, 1 + 0x1p-26, 1 + 0x1p-27, 2 - 0x1p-26, 2 - 0x1p-52, 1 + 0x1p-52,
                         -1 - 0x1.8p-26, 0.0})
    for (const double y : {1.0 / 3, 3 - 0x1p-50, 2 - 0x1p-52, 1 + 0x1p-27, 0x1.fffffep1023, 0x1.123456789abcdp1021,
                           0x1.23456789abcdep-900, 0x1.23456789abcp-1030})
      if (std::isfinite(x * y) && (std::abs(x * y) > 0x1p-960 || x == 0 || x == 1)) check(x, y);
}

TEST_CASE("sums and products keep twice the digits") {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  double_double sum, products;
  quad exact_sum = 0, exact_products = 0;
  for (int k = 0; k < 1000; ++k) {
    const double x = normal(random) * std::pow(10.0, k % 9), y = normal(random);
    sum.add(x), exact_sum += quad(x);
    products.add_product(x, y), exact_products += quad(x) * quad(y);
  }
  CHECK(relative_error(sum, exact_sum) < 1e-28);
  CHECK(relative_error(products, exact_products) < 1e-28);
  CHECK(relative_error(sum / 7.0, exact_sum / quad(7)) < 1e-28);
  // Ten million beside a unit in its last place: double has lost the latter.
  double_double cancelled{1e7};
  cancelled.add(1e-12);
  cancelled.add(-1e7);
  CHECK(cancelled.normalized().high == 1e-12);
  CHECK(cancelled.normalized().low == 0.0);
}

TEST_CASE("the product kernel is exact where double is not, lane by lane") {
  std::mt19937_64 random(2);
  const index count = 300, x_stride = 3, v_stride = accurate_lanes + 2;
  const row_major x = random_matrix(random, count, x_stride) * 1e8, v = random_matrix(random, count, v_stride);
  const row_major v_low = random_matrix(random, count, v_stride) * 1e-17;
  for (const bool with_low : {false, true}) {
    std::vector<double> high(accurate_lanes, 1.0), low(accurate_lanes, 1e-20);
    add_products_accurately(count, x.data(), x_stride, {v.data(), with_low ? v_low.data() : nullptr, v_stride},
                            high.data(), low.data());
    for (index c = 0; c < accurate_lanes; ++c) {
      quad exact = quad(1.0) + quad(1e-20);
      for (index k = 0; k < count; ++k) {
        exact += quad(x(k, 0)) * quad(v(k, c));
        if (with_low) exact += quad(x(k, 0)) * quad(v_low(k, c));
      }
      const auto lane = static_cast<std::size_t>(c);
      CHECK(relative_error({high[lane], low[lane]}, exact) < 1e-26);
    }
  }
}

}  // namespace
