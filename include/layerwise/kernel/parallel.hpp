// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>

#include <algorithm>
#include <exception>

#ifdef _OPENMP
#include <omp.h>
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif
#endif

// Loops over threads, where the consumer compiles with OpenMP.
namespace layerwise::inline LAYERWISE_ABI::detail {

#ifdef _OPENMP

#if defined(__unix__) || defined(__APPLE__)
/// The process that the program, or the library it is part of, was loaded in.
inline const pid_t loaded_in = getpid();
inline bool is_forked_child() { return getpid() != loaded_in; }
#else
inline bool is_forked_child() { return false; }
#endif

/// While it lives this thread opens no parallel regions, Eigen's products neither. For a child that was
/// forked: it has not inherited the threads that GCC's OpenMP would wait for, without end.
class one_thread {
 public:
  one_thread() { omp_set_num_threads(1); }
  ~one_thread() { omp_set_num_threads(before_); }
  one_thread(const one_thread&) = delete;
  one_thread& operator=(const one_thread&) = delete;

 private:
  const int before_ = omp_get_max_threads();
};

#endif

/// Calls body(i) for i in 0..count-1, on all OpenMP threads where the consumer compiles with OpenMP, in order
/// where not, and in a forked child. Bodies must write to disjoint places: results then do not depend on the
/// number of threads. An exception in a body is rethrown here, after the loop: that of the smallest i, so that
/// what is said does not depend on the threads either.
template <class Body>
void parallel_for(index count, const Body& body) {
#ifdef _OPENMP
  if (omp_get_max_threads() > 1 && is_forked_child()) {
    const one_thread scope;
    return parallel_for(count, body);
  }
  if (count > 1 && omp_get_max_threads() > 1 && !omp_in_parallel()) {
#ifdef LAYERWISE_NO_EXCEPTIONS
#pragma omp parallel for schedule(dynamic)
    for (index i = 0; i < count; ++i) body(i);
#else
    std::exception_ptr failure;
    index failed = count;
#pragma omp parallel for schedule(dynamic)
    for (index i = 0; i < count; ++i) {
      try {
        body(i);
      } catch (...) {
#pragma omp critical(layerwise_parallel_for)
        if (i < failed) failed = i, failure = std::current_exception();
      }
    }
    if (failure) std::rethrow_exception(failure);
#endif
    return;
  }
#endif
  for (index i = 0; i < count; ++i) body(i);
}

/// Splits 0..count-1 into fixed chunks and calls body(first, length) for each in parallel. The chunks depend
/// on `count` only.
template <class Body>
void parallel_chunks(index count, index chunk, const Body& body) {
  parallel_for((count + chunk - 1) / chunk, [&](index i) { body(i * chunk, (std::min)(chunk, count - i * chunk)); });
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
