// Comparisons of linearity results, and runs with a given number of threads.
#pragma once

#include <layerwise/metrics/linearity.hpp>
#include <layerwise/solve/linear_map.hpp>

#include <doctest/doctest.h>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace layerwise_test {

/// Equal to the last bit in every field.
inline void check_identical(const layerwise::linearity_result& a, const layerwise::linearity_result& b) {
  CHECK(a.score == b.score);
  CHECK(a.adjusted_score == b.adjusted_score);
  CHECK(a.chance_floor == b.chance_floor);
  CHECK(a.error_bound == b.error_bound);
  CHECK(a.condition == b.condition);
  CHECK(a.discarded_energy == b.discarded_energy);
  CHECK(a.rank == b.rank);
  CHECK(a.tokens == b.tokens);
  CHECK(a.x_dimensions == b.x_dimensions);
  CHECK(a.y_dimensions == b.y_dimensions);
  CHECK(a.underdetermined == b.underdetermined);
  CHECK(a.method == b.method);
}

inline void check_identical(const layerwise::linear_map& a, const layerwise::linear_map& b) {
  const bool same_weight = a.weight == b.weight, same_bias = a.bias == b.bias;  // no need to print matrices
  CHECK(same_weight);
  CHECK(same_bias);
}

/// call(), on that many threads where there is OpenMP.
template <class Call>
auto with_threads([[maybe_unused]] int threads, const Call& call) {
#ifdef _OPENMP
  struct restore {
    int threads = omp_get_max_threads();
    ~restore() { omp_set_num_threads(threads); }
  } before;
  omp_set_num_threads(threads);
#endif
  return call();
}

}  // namespace layerwise_test
