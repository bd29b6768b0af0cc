#pragma once

#include <layerwise/training.hpp>

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace pretraining {

enum class regularizer_kind { none, mse, cosine, jreg };
enum class lambda_schedule {
  constant,
  linear,  // from 0 to lambda over the warm-up of the learning rate
};

/// What is added to the loss.
struct penalty_options {
  regularizer_kind kind = regularizer_kind::none;
  double lambda = 0;
  double alpha = 0;                    // jreg: how much late layers count; may be infinite
  layerwise::layer_range layers = {};  // those whose step or turn is penalized
  lambda_schedule schedule = lambda_schedule::constant;
  bool stop_gradient = false;  // a layer is drawn towards the one before, never the one before towards it
};

/// lambda times `share` times the regularizer of the states h_0 ... h_L. Throws layerwise::error for states
/// that have no such value (a row of zeros, NaN) and for layers that they don't have.
at::Tensor penalize(const penalty_options& options, double share, const std::vector<at::Tensor>& states);

/// "jreg, lambda 4, alpha 1"; "none".
std::string label_of(const penalty_options& options);

}  // namespace pretraining
