#pragma once

#include "dumps/layer_stack.hpp"

namespace examples::measurement {

/// What takes memory.
struct demands {
  bool linearity = true;
  bool pairs_in_turn = false;
  bool metrics_of_moments = false;  // metrics beside the profile's
  bool to_last = false;             // each layer beside the last one
  bool all_pairs = false;           // moments of all pairs of layers
  double sample_bytes = 0;          // of the tokens that metrics of neighbours look at
};

/// The bytes that these need beside the files, in about.
double memory_needed(const dumps::layer_stack& stack, const demands& of);

/// A few hundred kilobytes of file may have so many dimensions that the moments don't fit into memory: throws
/// input_error before the system ends the process, with the options that need less.
void check_memory(const dumps::layer_stack& stack, const demands& of);

}  // namespace examples::measurement
