#include "report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>

namespace layerwise_profile {
namespace {

/// The shortest text that reads back as the same double; empty for an undefined value.
std::string cell(const std::optional<double>& value) { return value ? fmt::format("{}", *value) : ""; }

void add_linearity(std::vector<std::string>& row, const std::optional<layerwise::linearity_result>& result) {
  if (!result) {
    row.insert(row.end(), 8, "");
    return;
  }
  for (const double value :
       {result->score, result->adjusted_score, result->chance_floor, result->error_bound, result->condition})
    row.push_back(cell(value));
  row.push_back(fmt::format("{}", result->rank));
  row.emplace_back(result->underdetermined ? "true" : "false");
  row.emplace_back(text_of(result->method));
}

}  // namespace

std::string to_csv(const report& source) {
  std::vector<std::string> header{"layer"};
  for (const auto* kind : {"linearity", "residual_linearity"})
    for (const auto* field :
         {"score", "adjusted_score", "chance_floor", "error_bound", "condition", "rank", "underdetermined", "method"})
      header.push_back(fmt::format("{}_{}", kind, field));
  for (const auto* field : {"displacement", "jump_rate", "angular_distance", "cosine_similarity", "contribution_ratio",
                            "contribution_ratio_frobenius", "outlier_share", "outlier_dimension"})
    header.emplace_back(field);

  auto text = fmt::format("{}\n", fmt::join(header, ","));
  auto layer = source.layer_numbers.begin();
  for (const auto& metrics : source.profile.layers) {
    std::vector<std::string> row{fmt::format("{}", *layer++)};
    add_linearity(row, metrics.linearity);
    add_linearity(row, metrics.residual_linearity);
    for (const std::optional<double>& value :
         {std::optional(metrics.displacement), metrics.jump_rate, std::optional(metrics.angular_distance),
          std::optional(metrics.cosine_similarity), std::optional(metrics.contribution_ratio),
          std::optional(metrics.contribution_ratio_frobenius), metrics.outlier_share})
      row.push_back(cell(value));
    row.push_back(metrics.outlier_dimension ? fmt::format("{}", *metrics.outlier_dimension) : "");
    text += fmt::format("{}\n", fmt::join(row, ","));
  }
  return text;
}

}  // namespace layerwise_profile
