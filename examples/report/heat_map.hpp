#pragma once

#include <layerwise/core.hpp>

#include <Eigen/Core>

#include <optional>
#include <string>
#include <vector>

namespace examples::report {

/// Numbers of pairs of layers, row i against column j, as a picture; what is no number stays white.
struct heat_map {
  std::string name;  // of the numbers, beside the colours
  Eigen::MatrixXd values;
  std::vector<layerwise::index> row_numbers, column_numbers;  // of the layers in their model
  std::string row_label, column_label;
  std::optional<double> lowest, highest;  // of the colours; else those of the values
};

/// What stands above a picture.
struct picture_title {
  std::string title;
  std::string below;
};

/// Draws them beside one another, two or more in rows of up to three, with gnuplot into `path`, an .svg or .png file.
/// Throws as draw(); `wanted_by` is the option.
void write_heat_maps(const std::vector<heat_map>& maps, const picture_title& title, const std::string& path,
                     const std::string& wanted_by);

}  // namespace examples::report
