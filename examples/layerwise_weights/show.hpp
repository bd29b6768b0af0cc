#pragma once

#include "inspect.hpp"

#include <string>

namespace examples::layerwise_weights {

/// For people: a few lines on the model, a table of the embeddings, one of the layers' matrices.
std::string to_text(const model_report& report);

/// A line a matrix, every digit; cells that a matrix does not have are empty, an infinite condition is inf.
std::string to_csv(const model_report& report);

/// All there is, with quantiles and spectra; an infinite condition is null, with the rank beside it.
std::string to_json(const model_report& report);

}  // namespace examples::layerwise_weights
