#pragma once

#include "inspect.hpp"

#include <string>

namespace examples::layerwise_weights {

/// Draws four panels with gnuplot into `path`, an .svg or .png file, as nGPT's figures 4 and 5: norms of the rows of
/// embeddings, eigenvalues of their covariance over the median, cosines of their pairs, and the condition numbers of the
/// layers' matrices, the median of the heads' where these are known. Throws std::runtime_error where gnuplot is missing or
/// fails, and where the file can't be written.
void write_picture(const model_report& report, const std::string& path);

}  // namespace examples::layerwise_weights
