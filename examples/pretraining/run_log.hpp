#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

/// @file
/// What a run leaves behind for the report: DIR/run.jsonl, one JSON object a line. The first is the run, one
/// for each measurement follows. While the run lasts the file is called run.jsonl.part.
namespace pretraining {

/// The label of a run without a penalty.
inline constexpr const char* no_penalty = "none";

/// One layer on the held-out text. Empty where the quantity is undefined, as in layerwise::layer_metrics.
struct layer_numbers {
  std::optional<double> linearity, residual_linearity, jump_rate, outlier_share;
  double displacement = 0, cosine_similarity = 0, contribution_ratio = 0;
};

struct measurement {
  std::int64_t step = 0;
  std::optional<double> train_loss;  // nats a byte, without the penalty, mean since the last measurement
  std::optional<double> penalty;     // as it was added to the loss, mean since the last measurement
  double held_out_loss = 0;          // nats a byte
  std::vector<layer_numbers> layers;
};

struct run_record {
  std::string label;    // of the penalty, see label_of
  std::string purpose;  // what the run is for, as experiment.sh calls it: "pretraining", "fine-tuning"
  std::uint64_t seed = 0;
  std::map<std::string, std::string> settings;  // everything else one may want to know
  std::vector<measurement> measurements;
};

/// A layer replaced by its fitted linear map. Scores are those on the text that the map was fitted to.
struct replaced_layer {
  std::optional<double> linearity, residual_linearity;  // empty where undefined
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

/// Throw layerwise_profile::input_error.
run_record read_run(const std::string& path);
replacement_record read_replacement(const std::string& path);

}  // namespace pretraining
