// Equality of results to the last bit, whatever their fields are; and runs with a given number of threads.
#pragma once

#include <layerwise/core/fields.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace layerwise_test {

/// Every number of the two by its name: equal, or empty in both. NaN equals nothing.
template <layerwise::has_fields Result>
void check_identical(const Result& a, const Result& b) {
  std::vector<std::optional<double>> expected;
  layerwise::visit_values(&b, [&](const std::string&, const auto* value, std::string_view) {
    expected.push_back(value == nullptr ? std::nullopt : std::optional(static_cast<double>(*value)));
  });
  std::size_t next = 0;
  layerwise::visit_values(&a, [&](const std::string& name, const auto* value, std::string_view) {
    CAPTURE(name);
    const std::optional<double> other = expected[next++];
    REQUIRE((value != nullptr) == other.has_value());
    if (value != nullptr) CHECK(static_cast<double>(*value) == *other);
  });
}

inline void check_identical(double a, double b) { CHECK(a == b); }

inline void check_identical(const Eigen::VectorXd& a, const Eigen::VectorXd& b) {
  const bool same = a.size() == b.size() && a == b;  // no need to print vectors
  CHECK(same);
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
