#include <layerwise/training/schedule.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>

namespace {

using layerwise_test::near;

TEST_CASE("a schedule of lambda") {
  const layerwise::linear_schedule warm_up{.from = 0.25, .to = 1.25, .begin = 10, .end = 20};
  CHECK(warm_up(0) == 0.25);
  CHECK(warm_up(10) == 0.25);
  CHECK(warm_up(12.5) == 0.5);
  CHECK(warm_up(19) == near(1.15));
  CHECK(warm_up(20) == 1.25);
  CHECK(warm_up(1e9) == 1.25);
  const layerwise::linear_schedule at_once{.from = 2, .to = 3, .begin = 5, .end = 5};
  CHECK(at_once(4.999) == 2);
  CHECK(at_once(5) == 3);
  CHECK(layerwise::linear_schedule{}(0) == 1);
  CHECK(layerwise::linear_schedule{.end = 4}(std::int64_t{1}) == 0.25);
  // Of any finite size: differences of the largest overflow, halves of the smallest lose their last bit.
  const double most = std::numeric_limits<double>::max(), least = std::numeric_limits<double>::denorm_min();
  for (const double end : {1e308, most}) {
    const layerwise::linear_schedule wide{.from = 0, .to = 1, .begin = -end, .end = end};
    CHECK(wide(0) == 0.5);
    CHECK(wide(-end / 2) == 0.25);
    CHECK(layerwise::linear_schedule{-end, end, -end, end}(end / 2) == near(end / 2));
  }
  CHECK(layerwise::linear_schedule{.from = 0, .to = 1, .begin = -least, .end = least}(0) == 0.5);
  CHECK(layerwise::linear_schedule{.from = -most, .to = most, .begin = 0, .end = 4}(2) == 0);
}

TEST_CASE("the slanted triangular schedule of ULMFiT: worked values of 1000 steps, and its ends") {
  const layerwise::slanted_triangular_schedule rate{.steps = 1000};
  CHECK(rate(0) == near(0.0003125));
  CHECK(rate(50) == near(0.00515625));
  CHECK(rate(100) == near(0.01));
  CHECK(rate(200) == near(0.008923611111111111));
  CHECK(rate(1000) == near(0.0003125));
  CHECK(rate(-10) == near(0.0003125));
  CHECK(rate(std::int64_t{1} << 40) == near(0.0003125));
  // No step to rise in.
  const layerwise::slanted_triangular_schedule brief{.most = 1, .steps = 5, .ratio = 5};
  CHECK(brief(0) == 1);
  CHECK(brief(2.5) == near(0.6));
  CHECK(brief(5) == near(0.2));
}

}  // namespace
