#pragma once

#include "options.hpp"

#include "dumps/layer_stack.hpp"

namespace examples::layerwise_compare {

/// As many tokens as make a batch of about 64 MiB, or as were asked for, and no more than there are.
index batch_of(const layer_stack& a, const layer_stack& b, const options& asked);

/// The bytes that a comparison needs beside the files, in about: moments of all pairs or the data of a sample, whichever
/// is more, or what is written; and the numbers. `tokens` of the two take part.
double memory_needed(const layer_stack& a, const layer_stack& b, index tokens, const options& asked);

/// Throws input_error where there is less memory than that, with both numbers.
void check_memory(const layer_stack& a, const layer_stack& b, index tokens, const options& asked);

}  // namespace examples::layerwise_compare
