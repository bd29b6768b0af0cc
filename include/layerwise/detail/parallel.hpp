// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/error.hpp>

#include <algorithm>
#include <exception>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace layerwise::inline LAYERWISE_ABI::detail {

/// Calls body(i) for i in 0..count-1, on all OpenMP threads where the consumer compiles with OpenMP, in order
/// where not. Bodies must write to disjoint places: results then do not depend on the number of threads. An
/// exception in a body is rethrown here, after the loop.
template <class Body>
void parallel_for(index count, const Body& body) {
#ifdef _OPENMP
  if (count > 1 && omp_get_max_threads() > 1 && !omp_in_parallel()) {
    std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic)
    for (index i = 0; i < count; ++i) {
      try {
        body(i);
      } catch (...) {
#pragma omp critical(layerwise_parallel_for)
        if (!failure) failure = std::current_exception();
      }
    }
    if (failure) std::rethrow_exception(failure);
    return;
  }
#endif
  for (index i = 0; i < count; ++i) body(i);
}

/// Splits 0..count-1 into fixed chunks and calls body(first, length) for each in parallel. The chunks depend
/// on `count` only.
template <class Body>
void parallel_chunks(index count, index chunk, const Body& body) {
  parallel_for((count + chunk - 1) / chunk,
               [&](index i) { body(i * chunk, (std::min)(chunk, count - i * chunk)); });
}

}  // namespace layerwise::detail
