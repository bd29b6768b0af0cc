#pragma once

#include "run_log.hpp"
#include "statistics.hpp"

#include <optional>
#include <string>
#include <vector>

namespace pretraining {

/// Everything that was found in a folder of runs.
struct results {
  std::vector<run_record> runs;
  std::vector<replacement_record> replacements;
};

/// The score alone; empty where there is none.
std::optional<double> score_of(const std::optional<layerwise::linearity_result>& result);

/// What a layer's numbers are, over layers or of the last one.
double mean_linearity(const measurement& m);           // over the layers that have one
double mean_residual_linearity(const measurement& m);  // over the layers that have one
double mean_cosine(const measurement& m);
double last_displacement(const measurement& m);         // 100 Psi_L
double penultimate_displacement(const measurement& m);  // 100 Psi_{L-1}
double final_jump(const measurement& m);                // zeta_L = 100 max(0, Psi_L - Psi_{L-1})
double penultimate_jump(const measurement& m);          // the same of the layer before

/// A claim, and the number it says is positive: over the seeds that have what it takes.
struct claim {
  int number;         // of the experiment's list
  std::string text;   // "the final jump grows during training"
  std::string model;  // the label of the runs it is about
  std::string unit;   // "score", "nats a byte"
  interval claimed_positive;
};

/// The claims that there are runs for. Two runs are compared where they have the same seed.
std::vector<claim> judge_claims(const results& all);

}  // namespace pretraining
