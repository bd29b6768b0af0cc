#pragma once

#include "model.hpp"

#include <vector>

namespace examples::layerwise_weights {

/// What is measured at a time: embeddings one after the other, then as many matrices of layers as there are threads.
struct demands {
  std::vector<const weight*> embeddings, matrices;
  index sample;  // rows for the cosines
  int threads;
};

/// A sample of s rows has s (s - 1) / 2 cosines, and each thread a matrix in double: where these do not fit into memory,
/// throws input_error before the system ends the process, with what they need in about and the options that need less.
void check_memory(const demands& of);

}  // namespace examples::layerwise_weights
