#pragma once

#include <cstddef>
#include <exception>

namespace examples::metrics {

/// body(row) for rows 0 ... count - 1, in any order, each on one of as many threads as OpenMP has, where this is
/// compiled with it: for metrics of d^3 steps that are of one thread each. Throws the first of what they throw.
template <class Body>
void for_rows(std::ptrdiff_t count, const Body& body) {
  std::exception_ptr failed;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic)
#endif
  for (std::ptrdiff_t row = 0; row < count; ++row) {
    try {
      body(row);
    } catch (...) {
#ifdef _OPENMP
#pragma omp critical(layerwise_metric_rows)
#endif
      if (!failed) failed = std::current_exception();
    }
  }
  if (failed) std::rethrow_exception(failed);
}

}  // namespace examples::metrics
