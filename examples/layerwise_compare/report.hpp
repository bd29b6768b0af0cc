#pragma once

#include "comparison.hpp"

#include <string>

namespace examples::layerwise_compare {

/// Of all pairs a matrix a metric, rows of A, columns of B; of pairs of the same depth a line a pair.
std::string to_text(const comparison& source);
/// A line a pair: the layers' numbers, and the metrics with their error bounds. JSON has the same fields.
std::string to_csv(const comparison& source);
std::string to_json(const comparison& source);

/// Draws a heat map a metric. Throws as report::draw.
void write_plot(const comparison& source, const std::string& path);

}  // namespace examples::layerwise_compare
