#include "report/fields_json.hpp"
#include "report/report.hpp"

#include <nlohmann/json.hpp>

#include <utility>

namespace examples::report {
namespace {

using nlohmann::ordered_json;  // keys stay in the order written here

/// What was taken from the files.
ordered_json input_of(const described_profile& source) {
  const auto& taken = source.taken;
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? ordered_json(nullptr) : ordered_json(text);
  };
  return {{"tensors", taken.states},
          {"axes", taken.axes},
          {"axes_because", taken.axes_because},
          {"order_because", text_or_null(taken.order_because)},
          {"state_numbers", source.state_numbers},
          {"mask", text_or_null(taken.mask)},
          {"tokens_left_out", source.tokens_left_out},
          {"not_read", taken.left_out},
          {"remarks", taken.remarks},
          {"assumed", taken.assumed}};
}

}  // namespace

std::string to_json(const described_profile& source) {
  const auto& profile = source.profile;
  auto layers = ordered_json::array();
  auto number = source.layer_numbers.begin();
  for (const auto& metrics : profile.layers) {
    ordered_json layer{{"layer", *number++}};
    layer.update(json_of(metrics));
    layers.push_back(std::move(layer));
  }
  const ordered_json document{{"title", source.title},
                              {"files", source.files},
                              {"tokens", profile.tokens},
                              {"dimensions", profile.dimensions},
                              {"dtype", source.dtype},
                              {"final_norm", text_of(profile.final_norm)},
                              {"centering", text_of(profile.centering)},
                              {"input", input_of(source)},
                              {"layers", std::move(layers)}};
  // A path need not be UTF-8, JSON must be.
  return document.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace examples::report
