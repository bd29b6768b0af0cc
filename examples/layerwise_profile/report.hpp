#pragma once

#include "data_type.hpp"

#include <layerwise/profile.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace layerwise_profile {

/// A profile and what is said above it.
struct report {
  std::string title;  // the model where the file names one, else the file
  std::vector<std::string> files;
  data_type dtype;
  layerwise::layer_profile profile;
};

std::string to_table(const report& source, bool colour);
std::string to_csv(const report& source);
std::string to_json(const report& source);

/// "12 layers, 2048 tokens, 96 dimensions, F16, last state after the final norm, columns centred"
std::string summary(const report& source);

std::string_view text_of(layerwise::final_norm label);  // unspecified, before, after
std::string_view text_of(layerwise::centering choice);  // columns, none
std::string_view text_of(layerwise::solver method);     // as the enumerator is called

}  // namespace layerwise_profile
