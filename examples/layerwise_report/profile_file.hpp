#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace examples::layerwise_report {

/// A profile as `layerwise-profile --format json` writes it, checked: every field that the page and the table look at is
/// there and of its type, so that nothing is shown that the file does not say. Fields that are not known are kept, numbers
/// of layers among them are shown. Throws input_error: "FILE: layers[3].displacement: expected a number or null, got
/// "x"", with the byte where the file is no JSON.
nlohmann::ordered_json read_profile(const std::string& path);

/// The same of a text that came from `path`.
nlohmann::ordered_json parse_profile(const std::string& path, const std::string& text);

}  // namespace examples::layerwise_report
