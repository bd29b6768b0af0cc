#include "show.hpp"

#include "report/fields_json.hpp"

#include <nlohmann/json.hpp>

#include <span>

namespace examples::layerwise_weights {
namespace {

using nlohmann::ordered_json;
using report::json_of;

std::span<const double> all(const Eigen::VectorXd& values) {
  return {values.data(), static_cast<std::size_t>(values.size())};
}

ordered_json embedding_of(const embedding_measures& e) {
  ordered_json out{{"norms", json_of(e.norms)},
                   {"norm_quantiles", e.norm_quantiles},
                   {"zero_rows", e.zero_rows},
                   {"covariance", json_of(e.spectrum)},
                   {"eigenvalues_over_median", all(e.over_median)},
                   {"cosines", json_of(e.cosines)},
                   {"cosine_quantiles", e.cosine_quantiles}};
  return out;
}

ordered_json matrix_of(const matrix_report& m) {
  ordered_json out{{"tensor", m.tensor},
                   {"matrix", text_of(m.place.what)},
                   {"layer", m.place.layer < 0 ? ordered_json(nullptr) : ordered_json(m.place.layer)},
                   {"format", m.format},
                   {"quantized", m.is_quantized},
                   {"rows", m.rows},
                   {"columns", m.cols}};
  if (m.embedding) out["rows_of"] = embedding_of(*m.embedding);
  if (m.layer) {
    out["singular_spectrum"] = json_of(m.layer->values);
    if (m.layer->values) out["singular_values"] = all(m.layer->values->singular_values);
    out["heads"] = m.layer->heads > 0 ? ordered_json(m.layer->heads) : ordered_json(nullptr);
    out["head_condition"] = json_of(m.layer->head_condition);
  }
  if (!m.remark.empty()) out["remark"] = m.remark;
  return out;
}

}  // namespace

std::string to_json(const model_report& report) {
  auto matrices = ordered_json::array();
  for (const auto& m : report.matrices) matrices.push_back(matrix_of(m));
  const auto& config = report.config;
  const ordered_json document{{"title", report.title},
                              {"files", report.files},
                              {"architecture", config.architecture},
                              {"heads", config.heads},
                              {"key_heads", config.key_heads},
                              {"key_size", config.key_size},
                              {"value_size", config.value_size},
                              {"config_from", report.config_from},
                              {"sample", report.sample},
                              {"unit_rows", report.unit_rows},
                              {"remarks", report.remarks},
                              {"not_measured", report.not_measured},
                              {"matrices", std::move(matrices)}};
  // Names need not be UTF-8, JSON must be.
  return document.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace examples::layerwise_weights
