#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace examples::layerwise_report {

/// Numbers of the layers of several profiles as text: a table for each of `columns`, named as in CSV
/// ("linearity_score"), a line a layer, a column a profile; "-" where a profile has no such layer or number. Profiles are as
/// read_profile() gives them. Without columns both linearities and the displacement, as far as there are any. Throws
/// std::invalid_argument for a column that none of them has, and says which there are.
std::string side_by_side(const std::vector<nlohmann::ordered_json>& profiles, const std::vector<std::string>& columns);

}  // namespace examples::layerwise_report
