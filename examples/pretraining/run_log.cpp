#include "run_log.hpp"

#include "input_error.hpp"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>

namespace pretraining {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

ordered_json or_null(const std::optional<double>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

std::optional<double> optional_number(const json& object, const char* key) {
  const json& value = object.at(key);
  return value.is_null() ? std::nullopt : std::optional(value.get<double>());
}

ordered_json to_json(const layer_numbers& layer) {
  return {{"linearity", or_null(layer.linearity)},        {"residual_linearity", or_null(layer.residual_linearity)},
          {"displacement", layer.displacement},           {"cosine_similarity", layer.cosine_similarity},
          {"jump_rate", or_null(layer.jump_rate)},        {"contribution_ratio", layer.contribution_ratio},
          {"outlier_share", or_null(layer.outlier_share)}};
}

layer_numbers layer_of(const json& object) {
  layer_numbers layer;
  layer.linearity = optional_number(object, "linearity");
  layer.residual_linearity = optional_number(object, "residual_linearity");
  layer.displacement = object.at("displacement").get<double>();
  layer.cosine_similarity = object.at("cosine_similarity").get<double>();
  layer.jump_rate = optional_number(object, "jump_rate");
  layer.contribution_ratio = object.at("contribution_ratio").get<double>();
  layer.outlier_share = optional_number(object, "outlier_share");
  return layer;
}

measurement measurement_of(const json& object) {
  measurement m;
  m.step = object.at("step").get<std::int64_t>();
  m.train_loss = optional_number(object, "train_loss");
  m.penalty = optional_number(object, "penalty");
  m.held_out_loss = object.at("held_out_loss").get<double>();
  for (const json& layer : object.at("layers")) m.layers.push_back(layer_of(layer));
  return m;
}

/// read(file), with whatever JSON has to say about the file as an input_error.
template <class Read>
auto read_json(const std::string& path, const Read& read) {
  std::ifstream file(path, std::ios::binary);
  if (!file) layerwise_profile::reject(path, "it can't be read: {}", std::strerror(errno));
  try {
    return read(file);
  } catch (const json::exception& error) {
    layerwise_profile::reject(path, "expected a file that this program wrote, got {}", error.what());
  }
}

}  // namespace

std::string first_line(const run_record& run) {
  return ordered_json{{"label", run.label}, {"purpose", run.purpose}, {"seed", run.seed}, {"settings", run.settings}}
             .dump() +
         "\n";
}

std::string line_of(const measurement& m) {
  auto layers = ordered_json::array();
  for (const layer_numbers& layer : m.layers) layers.push_back(to_json(layer));
  return ordered_json{{"step", m.step},
                      {"train_loss", or_null(m.train_loss)},
                      {"penalty", or_null(m.penalty)},
                      {"held_out_loss", m.held_out_loss},
                      {"layers", std::move(layers)}}
             .dump() +
         "\n";
}

std::string text_of(const replacement_record& record) {
  auto layers = ordered_json::array();
  for (const replaced_layer& layer : record.layers)
    layers.push_back({{"linearity", or_null(layer.linearity)},
                      {"residual_linearity", or_null(layer.residual_linearity)},
                      {"held_out_loss", layer.held_out_loss}});
  return ordered_json{{"label", record.label},
                      {"seed", record.seed},
                      {"held_out_loss", record.held_out_loss},
                      {"layers", std::move(layers)}}
             .dump(2) +
         "\n";
}

run_record read_run(const std::string& path) {
  return read_json(path, [&](std::istream& file) {
    run_record run;
    std::string line;
    while (std::getline(file, line)) {
      const json object = json::parse(line);
      if (!run.label.empty()) {
        run.measurements.push_back(measurement_of(object));
        continue;
      }
      run.label = object.at("label").get<std::string>();
      run.purpose = object.at("purpose").get<std::string>();
      run.seed = object.at("seed").get<std::uint64_t>();
      run.settings = object.at("settings").get<std::map<std::string, std::string>>();
    }
    if (run.measurements.empty()) layerwise_profile::reject(path, "expected a measurement, got none");
    for (const measurement& m : run.measurements)
      if (m.layers.empty() || m.layers.size() != run.measurements.front().layers.size())
        layerwise_profile::reject(path, "expected measurements of the same layers, got {} at step {}", m.layers.size(),
                                  m.step);
    return run;
  });
}

replacement_record read_replacement(const std::string& path) {
  return read_json(path, [&](std::istream& file) {
    const json object = json::parse(file);
    replacement_record record{.label = object.at("label").get<std::string>(),
                              .seed = object.at("seed").get<std::uint64_t>(),
                              .held_out_loss = object.at("held_out_loss").get<double>(),
                              .layers = {}};
    for (const json& layer : object.at("layers"))
      record.layers.push_back({.linearity = optional_number(layer, "linearity"),
                               .residual_linearity = optional_number(layer, "residual_linearity"),
                               .held_out_loss = layer.at("held_out_loss").get<double>()});
    if (record.layers.empty()) layerwise_profile::reject(path, "expected a layer, got none");
    return record;
  });
}

}  // namespace pretraining
