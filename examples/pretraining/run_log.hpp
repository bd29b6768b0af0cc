#pragma once

#include <layerwise/profile.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

/// @file
/// What a run leaves behind for the report: DIR/run.jsonl, one JSON object a line. The first is the run, one
/// for each measurement follows. A layer has all fields of
/// layerwise::layer_metrics, as in the JSON of layerwise-profile. While the run lasts the file is called run.jsonl.part.
namespace pretraining {

/// The label of a run without a penalty.
inline constexpr const char* no_penalty = "none";

struct measurement {
  std::int64_t step = 0;
  std::optional<double> train_loss;              // nats a byte, without the penalty, mean since the last measurement
  std::optional<double> penalty;                 // as it was added to the loss, mean since the last measurement
  double held_out_loss = 0;                      // nats a byte
  std::vector<layerwise::layer_metrics> layers;  // on the held-out text
};

struct run_record {
  std::string label;    // of the penalty, see label_of
  std::string purpose;  // what the run is for, as experiment.sh calls it: "pretraining", "fine-tuning"
  std::uint64_t seed = 0;
  std::map<std::string, std::string> settings;  // everything else one may want to know
  std::vector<measurement> measurements;
};

/// A layer replaced by its fitted linear map.
struct replaced_layer {
  layerwise::layer_metrics metrics;  // on the text that the map was fitted to
  double held_out_loss = 0;
};

/// DIR/replacement.json: every layer of a model replaced in turn.
struct replacement_record {
  std::string label;
  std::uint64_t seed = 0;
  double held_out_loss = 0;  // of the whole model
  std::vector<replaced_layer> layers;
};

std::string first_line(const run_record& run);
std::string line_of(const measurement& m);
std::string text_of(const replacement_record& record);

/// Throw examples::input_error.
run_record read_run(const std::string& path);
replacement_record read_replacement(const std::string& path);

}  // namespace pretraining
