#pragma once

#include "comparison.hpp"

#include <optional>

namespace examples::layerwise_compare {

struct measure_options {
  std::optional<index> batch_tokens;
  index sample;  // tokens that metrics of neighbours look at
};

/// Fills in the values, of second moments from one pass over both dumps, a batch at a time. Memory: the moments of all
/// pairs, 8 d^2 bytes each, however many tokens there are; the data of a sample, where a metric wants one.
///
/// The narrower states are filled up with columns of 0, which no metric of moments looks at, so that x^T x of a layer is
/// summed once for all its pairs. Throws input_error, also for what the library has to say against the data, and where
/// there is less memory than that, with both numbers.
void measure(comparison& result, const layer_stack& a, const layer_stack& b, const measure_options& options);

/// The bytes that measure() needs beside the files, in about.
double memory_needed(const comparison& of, const measure_options& options);

}  // namespace examples::layerwise_compare
