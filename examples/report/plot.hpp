#pragma once

#include "report/report.hpp"

#include <string>

namespace examples::report {

/// Draws the profile with gnuplot into `path`, an .svg or .png file: the linearity curves above, the
/// displacement with its final jump below. Throws std::runtime_error when gnuplot is missing or fails, or the
/// file can't be written.
void write_plot(const described_profile& source, const std::string& path);

}  // namespace examples::report
