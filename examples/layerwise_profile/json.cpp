#include "report.hpp"

#include <nlohmann/json.hpp>

#include <optional>

namespace layerwise_profile {
namespace {

using layerwise::index;
using nlohmann::ordered_json;  // keys stay in the order written here

// A double becomes the shortest text that reads back as the same double.
ordered_json to_json(double value) { return value; }
ordered_json to_json(index value) { return value; }

ordered_json to_json(const layerwise::linearity_result& result) {
  return {{"score", result.score},
          {"adjusted_score", result.adjusted_score},
          {"chance_floor", result.chance_floor},
          {"error_bound", result.error_bound},
          {"condition", result.condition},
          {"discarded_energy", result.discarded_energy},
          {"rank", result.rank},
          {"tokens", result.tokens},
          {"underdetermined", result.underdetermined},
          {"method", text_of(result.method)}};
}

template <class T>
ordered_json or_null(const std::optional<T>& value) {
  return value ? to_json(*value) : ordered_json(nullptr);
}

/// What was taken from the files.
ordered_json input_of(const report& source) {
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

std::string to_json(const report& source) {
  const auto& profile = source.profile;
  auto layers = ordered_json::array();
  for (std::size_t i = 0; i < profile.layers.size(); ++i) {
    const auto& metrics = profile.layers[i];
    layers.push_back({{"layer", source.layer_numbers[i]},
                      {"linearity", or_null(metrics.linearity)},
                      {"residual_linearity", or_null(metrics.residual_linearity)},
                      {"displacement", metrics.displacement},
                      {"jump_rate", or_null(metrics.jump_rate)},
                      {"angular_distance", metrics.angular_distance},
                      {"cosine_similarity", metrics.cosine_similarity},
                      {"contribution_ratio", metrics.contribution_ratio},
                      {"contribution_ratio_frobenius", metrics.contribution_ratio_frobenius},
                      {"outlier_share", or_null(metrics.outlier_share)},
                      {"outlier_dimension", or_null(metrics.outlier_dimension)}});
  }
  const ordered_json document{{"title", source.title},
                              {"files", source.files},
                              {"tokens", profile.tokens},
                              {"dimensions", profile.dimensions},
                              {"dtype", name_of(source.dtype)},
                              {"final_norm", text_of(profile.final_norm)},
                              {"centering", text_of(profile.centering)},
                              {"input", input_of(source)},
                              {"layers", std::move(layers)}};
  // A path need not be UTF-8, JSON must be.
  return document.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace layerwise_profile
