#pragma once

#include "claims.hpp"

#include <string>
#include <vector>

namespace pretraining {

struct picture {
  std::string file;  // in the report's folder
  std::string title;
};

/// Draws the pictures of the runs into the folder with gnuplot, as .svg files. Curves are means over seeds; a
/// band spans all of them. Throws std::runtime_error when gnuplot is missing or fails.
std::vector<picture> draw_pictures(const results& all, const std::string& folder);

}  // namespace pretraining
