#include "report/fields_json.hpp"
#include "report/report.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

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

ordered_json matrix_of(const Eigen::MatrixXd& values) {
  auto rows = ordered_json::array();
  for (index i = 0; i < values.rows(); ++i) {
    auto row = ordered_json::array();
    for (index j = 0; j < values.cols(); ++j) row.push_back(values(i, j));  // null where it is no number
    rows.push_back(std::move(row));
  }
  return rows;
}

/// A layer, or the embeddings for null, with what was added of it.
ordered_json layer_of(const described_profile& source, index number, const layerwise::layer_metrics* metrics,
                      std::size_t state) {
  ordered_json layer{{"layer", number}};
  if (metrics != nullptr) layer.update(json_of(*metrics));
  if (metrics == nullptr)
    layerwise::for_each_field<layerwise::layer_metrics>(
        [&](const auto& field) { layer[std::string(field.name)] = nullptr; });
  const auto& added = source.added;
  for (std::size_t i = 0; i < added.names.size(); ++i) layer[added.names[i]] = json_of(added.rows[state][i]);
  return layer;
}

}  // namespace

ordered_json json_of(const field_value& value) {
  return std::visit(
      []<class T>(const T& held) {
        if constexpr (std::is_same_v<T, std::monostate>)
          return ordered_json(nullptr);
        else
          return ordered_json(held);
      },
      value);
}

std::string to_json(const described_profile& source) {
  const auto& profile = source.profile;
  auto layers = ordered_json::array();
  if (source.added.embeddings) layers.push_back(layer_of(source, source.state_numbers.front(), nullptr, 0));
  auto number = source.layer_numbers.begin();
  std::size_t state = 0;
  for (const auto& metrics : profile.layers) layers.push_back(layer_of(source, *number++, &metrics, ++state));
  ordered_json document{{"title", source.title},
                        {"files", source.files},
                        {"tokens", profile.tokens},
                        {"dimensions", profile.dimensions},
                        {"dtype", source.dtype},
                        {"final_norm", text_of(profile.final_norm)},
                        {"centering", text_of(profile.centering)},
                        {"input", input_of(source)},
                        {"layers", std::move(layers)}};
  if (source.loss) document["loss"] = *source.loss;
  for (const auto& matrix : source.matrices) document[matrix.name] = matrix_of(matrix.values);
  // A path need not be UTF-8, JSON must be.
  return document.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace examples::report
