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

/// The bytes that these need beside the files, in about.
double memory_needed(const demands& of);

/// --sample has the square of its number of cosines, and each thread a matrix in double: throws input_error before the
/// system ends the process, with the options that need less.
void check_memory(const demands& of);

}  // namespace examples::layerwise_weights
