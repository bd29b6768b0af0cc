#pragma once

#include "report.hpp"

#include <string>

namespace layerwise_profile {

/// Draws the profile with gnuplot into `path`, an .svg or .png file: the linearity curves above, the
/// displacement with its final jump below. Throws std::runtime_error when gnuplot is missing or fails, or the
/// file can't be written.
void write_plot(const report& source, const std::string& path);

/// Writes a whole file, or throws std::runtime_error.
void write_file(const std::string& path, const std::string& content);

}  // namespace layerwise_profile
