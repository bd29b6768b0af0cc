// One unit of a program whose units are compiled with different flags. UNIT names what it defines.
//
// Without CROSS the units keep layerwise's and Eigen's objects to themselves, and hand each other plain
// memory: both compute the same, up to rounding, or, with another alignment in each, refuse to (exit 3). With
// CROSS one is handed the other's objects: the linker must refuse.
#ifdef CROSS
#include <layerwise/statistics.hpp>
#else
#include <layerwise/data.hpp>
#include <layerwise/metrics/linearity.hpp>
#include <layerwise/solve.hpp>
#endif

#include <cmath>
#include <cstdio>
#include <vector>

#ifdef CROSS

#ifdef MAIN
void feed(layerwise::cross_moments& moments, const float* x, layerwise::index tokens);

int main() {
  const std::vector<float> x(600 * 40, 1.0f);
  layerwise::cross_moments moments;
  feed(moments, x.data(), 600);
  return moments.tokens() == 600 ? 0 : 1;
}
#else
void feed(layerwise::cross_moments& moments, const float* x, layerwise::index tokens) {
  moments.add(layerwise::strided_view(x, tokens, 40), layerwise::strided_view(x, tokens, 40));
}
#endif

#else

double UNIT(const float* data, long tokens, long dims) {
  const auto states = layerwise::hidden_states_view<const float>::layer_major(data, 2, tokens, dims);
  const layerwise::linear_map map = layerwise::fit_linear_map(states[0], states[1]);
  return map.weight(1, 0) + map(states[1]).mean() + layerwise::residual_linearity_score(states[0], states[1]);
}

#ifdef MAIN
double other(const float* data, long tokens, long dims);

int main() {
  constexpr long tokens = 600, dims = 41;
  std::vector<float> states(2 * tokens * dims);
  unsigned state = 1;
  for (float& x : states) x = static_cast<float>(state = state * 1664525u + 1013904223u) * 0x1p-31f - 1;
  try {
    const double mine = UNIT(states.data(), tokens, dims), others = other(states.data(), tokens, dims);
    std::printf("%.17g %.17g\n", mine, others);
    return std::abs(mine - others) < 1e-9 ? 0 : 1;
  } catch (const layerwise::unsupported_error& e) {
    std::puts(e.what());
    return 3;
  }
}
#endif

#endif
