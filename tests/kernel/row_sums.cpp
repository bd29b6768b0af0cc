// Built for this machine's processor, unlike the other tests: what is written with its instructions is tested
// here.
#include <layerwise/kernel/lanes.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace {

using layerwise::index;
using layerwise::detail::lane_block;
using layerwise::detail::lanes;
using layerwise::detail::load_lanes;
using layerwise::detail::store_lanes;

/// Doubles around every place where rounding to 16 bits decides: ties, the ends of the range, subnormals, no
/// numbers.
std::vector<double> edge_cases() {
  std::vector<double> values{0.0,
                             -0.0,
                             HUGE_VAL,
                             -HUGE_VAL,
                             std::numeric_limits<double>::quiet_NaN(),
                             1e300,
                             -1e300,
                             1e-300,
                             65504.0,
                             65519.9,
                             65520.0,
                             3.3895313892515355e38,
                             3.4e38};
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const auto bits = static_cast<std::uint32_t>(random());
    values.push_back(static_cast<double>(std::bit_cast<float>(bits)));
    values.push_back(static_cast<double>(std::bit_cast<float>(bits & 0xffff8000u)));  // a tie of bfloat16
    values.push_back(static_cast<double>(std::bit_cast<float>((bits & 0x87fff000u) | 0x38000000u)));  // of half
  }
  while (values.size() % lanes != 0) values.push_back(1.0);
  return values;
}

template <class Scalar>
auto bits_of(const Scalar& x) {
  if constexpr (sizeof(Scalar) == 2)
    return std::bit_cast<std::uint16_t>(x);
  else if constexpr (sizeof(Scalar) == 4)
    return std::bit_cast<std::uint32_t>(x);
  else
    return std::bit_cast<std::uint64_t>(x);
}

TEST_CASE_TEMPLATE("blocks are stored as Eigen rounds, and loaded exactly", Scalar, double, float, Eigen::half,
                   Eigen::bfloat16) {
  const std::vector<double> values = edge_cases();
  std::array<Scalar, lanes> out;
  for (std::size_t i = 0; i < values.size(); i += lanes) {
    store_lanes(lane_block::Map(&values[i]), out.data());
    const lane_block back = load_lanes(out.data());
    for (index k = 0; k < lanes; ++k) {
      const Scalar found = out[static_cast<std::size_t>(k)];
      const double value = values[i + static_cast<std::size_t>(k)];
      CAPTURE(value);
      if (std::isnan(value)) {
        CHECK(std::isnan(static_cast<double>(found)));
        CHECK(std::isnan(back[k]));
      } else {
        CHECK(bits_of(found) == bits_of(static_cast<Scalar>(value)));
        CHECK(back[k] == static_cast<double>(found));
      }
    }
  }
}

TEST_CASE_TEMPLATE("a row's sums are those of long double, whatever its length", Scalar, double, float, Eigen::half,
                   Eigen::bfloat16) {
  std::mt19937_64 random(2);
  for (const index d : {1, 2, 15, 16, 17, 31, 32, 33, 100, 768}) {
    CAPTURE(d);
    const Eigen::RowVectorXd before = layerwise_test::random_matrix(random, 1, d);
    const Eigen::Matrix<Scalar, 1, Eigen::Dynamic> row =
        layerwise_test::random_matrix(random, 1, d).template cast<Scalar>();
    long double squares = 0, step = 0;
    for (index j = 0; j < d; ++j) {
      const auto y = static_cast<long double>(static_cast<double>(row[j])), x = static_cast<long double>(before[j]);
      squares += y * y;
      step += (y - x) * (y - x);
    }
    Eigen::RowVectorXd out(d);
    const auto sums = layerwise::detail::sum_row(before.data(), row.data(), d, out.data());
    CHECK(sums.squares == layerwise_test::near(static_cast<double>(squares)));
    CHECK(sums.step == layerwise_test::near(static_cast<double>(step)));
    CHECK(out == row.template cast<double>());
  }
}

}  // namespace
