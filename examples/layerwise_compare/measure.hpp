#pragma once

#include "comparison.hpp"

#include "metrics/token_sample.hpp"

namespace examples::layerwise_compare {

/// Fills in the values, of second moments from one pass over both dumps, `batch_tokens` at a time, and of the sample in
/// `tokens`. Memory: the moments of all pairs, 8 d^2 bytes each, however many tokens there are; the data of the sample,
/// where a metric wants one. It is checked before, by check_memory().
///
/// The narrower states are filled up with columns of 0, which no metric of moments looks at, so that x^T x of a layer is
/// summed once for all its pairs. Throws input_error for what the library has to say against the data.
void measure(comparison& result, const layer_stack& a, const layer_stack& b, index batch_tokens,
             const metrics::token_sets& tokens);

}  // namespace examples::layerwise_compare
