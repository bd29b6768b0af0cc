#pragma once

#include "python.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

#include <atomic>

/// @file
/// Work without the GIL, on the number of threads that set_num_threads() asked for.
namespace python_module {

inline std::atomic<int> chosen_threads{0};  // 0: OpenMP's own choice

/// OpenMP keeps a number for each thread of Python; this sets it for one call.
class thread_limit {
#ifdef _OPENMP
 public:
  thread_limit() {
    if (const int chosen = chosen_threads; chosen > 0) omp_set_num_threads(chosen);
  }
  ~thread_limit() { omp_set_num_threads(before_); }
  thread_limit(const thread_limit&) = delete;
  thread_limit& operator=(const thread_limit&) = delete;

 private:
  const int before_ = omp_get_max_threads();
#endif
};

template <class Body>
auto compute(const Body& body) {
  const nb::gil_scoped_release released;
  [[maybe_unused]] const thread_limit limit;
  return body();
}

}  // namespace python_module
