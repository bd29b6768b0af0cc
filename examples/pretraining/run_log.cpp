#include "run_log.hpp"

#include "common/input_error.hpp"
#include "report/fields_json.hpp"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string_view>

namespace pretraining {
namespace {

using examples::reject;
using examples::report::json_of;
using examples::report::read_json;
using nlohmann::json;
using nlohmann::ordered_json;

measurement measurement_of(const json& object) {
  measurement m;
  m.step = object.at("step").get<std::int64_t>();
  read_json(object.at("train_loss"), m.train_loss);
  read_json(object.at("penalty"), m.penalty);
  m.held_out_loss = object.at("held_out_loss").get<double>();
  for (const json& layer : object.at("layers")) read_json(layer, m.layers.emplace_back());
  return m;
}

/// read(file), with whatever is wrong with its JSON as an input_error.
template <class Read>
auto read_log(const std::string& path, const Read& read) {
  std::ifstream file(path, std::ios::binary);
  if (!file) reject(path, "it can't be read: {}", std::strerror(errno));
  try {
    return read(file);
  } catch (const json::exception& error) {
    reject(path, "expected a file that this program wrote, got {}", error.what());
  } catch (const std::invalid_argument& error) {
    reject(path, "expected a file that this program wrote, got {}", error.what());
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
  for (const auto& layer : m.layers) layers.push_back(json_of(layer));
  return ordered_json{{"step", m.step},
                      {"train_loss", json_of(m.train_loss)},
                      {"penalty", json_of(m.penalty)},
                      {"held_out_loss", m.held_out_loss},
                      {"layers", std::move(layers)}}
             .dump() +
         "\n";
}

std::string text_of(const replacement_record& record) {
  auto layers = ordered_json::array();
  for (const replaced_layer& layer : record.layers) {
    layers.push_back(json_of(layer.metrics));
    layers.back()["held_out_loss"] = layer.held_out_loss;
  }
  return ordered_json{{"label", record.label},
                      {"seed", record.seed},
                      {"held_out_loss", record.held_out_loss},
                      {"layers", std::move(layers)}}
             .dump(2) +
         "\n";
}

run_record read_run(const std::string& path) {
  return read_log(path, [&](std::istream& file) {
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
    if (run.measurements.empty()) reject(path, "expected a measurement, got none");
    for (const measurement& m : run.measurements)
      if (m.layers.empty() || m.layers.size() != run.measurements.front().layers.size())
        reject(path, "expected measurements of the same layers, got {} at step {}", m.layers.size(), m.step);
    return run;
  });
}

replacement_record read_replacement(const std::string& path) {
  return read_log(path, [&](std::istream& file) {
    const json object = json::parse(file);
    replacement_record record{.label = object.at("label").get<std::string>(),
                              .seed = object.at("seed").get<std::uint64_t>(),
                              .held_out_loss = object.at("held_out_loss").get<double>(),
                              .layers = {}};
    for (const json& layer : object.at("layers")) {
      auto& replaced = record.layers.emplace_back();
      read_json(layer, replaced.metrics);
      read_json(layer.at("held_out_loss"), replaced.held_out_loss);
    }
    if (record.layers.empty()) reject(path, "expected a layer, got none");
    return record;
  });
}

}  // namespace pretraining
