#include "claims.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <optional>

namespace pretraining {
namespace {

double mean_of(const measurement& m,
               const std::function<std::optional<double>(const layerwise::layer_metrics&)>& number) {
  double sum = 0, count = 0;
  for (const layerwise::layer_metrics& layer : m.layers)
    if (const auto value = number(layer)) sum += *value, ++count;
  return count > 0 ? sum / count : std::numeric_limits<double>::quiet_NaN();
}

using number_of_measurement = double (*)(const measurement&);

/// One number for each seed, for the mean over seeds.
class sample {
 public:
  void add(double value) {
    if (std::isfinite(value)) values_.push_back(value);
  }
  const std::vector<double>& values() const { return values_; }

 private:
  std::vector<double> values_;
};

class judge_of_runs {
 public:
  explicit judge_of_runs(const results& all) : all_(all) {}

  std::vector<claim> claims() {
    within(1, "the linearity with the residual stream falls during pre-training", "score", mean_linearity, -1);
    within(1, "the linearity without the residual stream falls during pre-training", "score", mean_residual_linearity,
           -1);
    for (const std::string& label : labels_with("cosine")) {
      against_none(2, "neighbouring layers' cosine is higher", label, "cosine", mean_cosine, 1);
      against_none(2, "the residual linearity is lower", label, "score", mean_residual_linearity, -1);
    }
    for (const std::string& label : labels_with("mse"))
      against_none(2, "the residual linearity is lower", label, "score", mean_residual_linearity, -1);
    within(3, "the final jump grows during pre-training", "points", final_jump, 1);
    within(3, "the last layer's displacement grows during pre-training", "points", last_displacement, 1);
    fine_tuning("fine-tuning", "on the new text, fine-tuning raises the residual linearity");
    fine_tuning_elsewhere();
    for (const std::string& label : labels_with("jreg")) {
      against_none(5, "the final jump is lower", label, "points", final_jump, -1);
      against_none(5, "the last layer's displacement is lower", label, "points", last_displacement, -1);
    }
    for (const std::string& label : labels_with("jreg"))
      if (label.find("∞") != std::string::npos) {
        against_none(6, "the layer before the last jumps more", label, "points", penultimate_jump, 1);
        against_none(6, "the displacement of the layer before the last is higher", label, "points",
                     penultimate_displacement, 1);
      }
    for (const std::string& label : labels_with(""))
      if (label != no_penalty)
        against_none(
            7, "the held-out loss is higher", label, "nats a byte",
            [](const measurement& m) { return m.held_out_loss; }, 1);
    replacement("most linear layer", [](const replaced_layer& layer) { return score_of(layer.metrics.linearity); });
    replacement("layer of the most linear update",
                [](const replaced_layer& layer) { return score_of(layer.metrics.residual_linearity); });
    return std::move(claims_);
  }

 private:
  std::vector<const run_record*> runs(const std::string& purpose, const std::string& label) const {
    std::vector<const run_record*> out;
    for (const run_record& run : all_.runs)
      if (run.purpose == purpose && run.label == label) out.push_back(&run);
    return out;
  }

  /// Of pre-training, those that begin so; each once, in the order of the runs.
  std::vector<std::string> labels_with(const std::string& beginning) const {
    std::vector<std::string> out;
    for (const run_record& run : all_.runs)
      if (run.purpose == "pretraining" && run.label.starts_with(beginning) &&
          std::find(out.begin(), out.end(), run.label) == out.end())
        out.push_back(run.label);
    return out;
  }

  const run_record* with_seed(const std::vector<const run_record*>& runs, std::uint64_t seed) const {
    const auto found = std::find_if(runs.begin(), runs.end(), [&](const run_record* r) { return r->seed == seed; });
    return found == runs.end() ? nullptr : *found;
  }

  void add(int number, const std::string& text, const std::string& model, const std::string& unit,
           const sample& numbers) {
    if (!numbers.values().empty()) claims_.push_back({number, text, model, unit, interval_of(numbers.values())});
  }

  /// sign * (end - beginning) of the runs without a penalty.
  void within(int number, const std::string& text, const std::string& unit, number_of_measurement of, double sign) {
    sample changes;
    for (const run_record* run : runs("pretraining", no_penalty))
      changes.add(sign * (of(run->measurements.back()) - of(run->measurements.front())));
    add(number, text, no_penalty, unit, changes);
  }

  /// sign * (with - without the penalty) at the end.
  void against_none(int number, const std::string& text, const std::string& label, const std::string& unit,
                    number_of_measurement of, double sign) {
    sample differences;
    const auto baselines = runs("pretraining", no_penalty);
    for (const run_record* run : runs("pretraining", label))
      if (const run_record* baseline = with_seed(baselines, run->seed))
        differences.add(sign * (of(run->measurements.back()) - of(baseline->measurements.back())));
    add(number, text, label, unit, differences);
  }

  void fine_tuning(const std::string& purpose, const std::string& text) {
    sample changes;
    for (const run_record* run : runs(purpose, no_penalty))
      changes.add(mean_residual_linearity(run->measurements.back()) -
                  mean_residual_linearity(run->measurements.front()));
    add(4, text, no_penalty, "score", changes);
  }

  /// The fine-tuned model on the text that it was pre-trained to, against the model before.
  void fine_tuning_elsewhere() {
    sample changes;
    const auto baselines = runs("pretraining", no_penalty);
    for (const run_record* run : runs("after fine-tuning", no_penalty))
      if (const run_record* before = with_seed(baselines, run->seed))
        changes.add(mean_residual_linearity(run->measurements.back()) -
                    mean_residual_linearity(before->measurements.back()));
    add(4, "on the old text, fine-tuning raises the residual linearity", no_penalty, "score", changes);
  }

  /// Mean loss over all layers replaced in turn, less the loss with the best-scored one replaced.
  void replacement(const std::string& which, const std::function<std::optional<double>(const replaced_layer&)>& score) {
    std::map<std::string, sample> by_label;
    for (const replacement_record& record : all_.replacements) {
      const auto& layers = record.layers;
      const auto best = std::max_element(layers.begin(), layers.end(),
                                         [&](const auto& a, const auto& b) { return score(a) < score(b); });
      double mean = 0;
      for (const replaced_layer& layer : layers) mean += layer.held_out_loss / static_cast<double>(layers.size());
      by_label[record.label].add(mean - best->held_out_loss);
    }
    for (const auto& [label, differences] : by_label)
      add(8, "replacing the " + which + " by a linear map costs less than replacing a random layer", label,
          "nats a byte", differences);
  }

  const results& all_;
  std::vector<claim> claims_;
};

}  // namespace

std::optional<double> score_of(const std::optional<layerwise::linearity_result>& result) {
  return result ? std::optional(result->score) : std::nullopt;
}

double mean_linearity(const measurement& m) {
  return mean_of(m, [](const layerwise::layer_metrics& layer) { return score_of(layer.linearity); });
}
double mean_residual_linearity(const measurement& m) {
  return mean_of(m, [](const layerwise::layer_metrics& layer) { return score_of(layer.residual_linearity); });
}
double mean_cosine(const measurement& m) {
  return mean_of(m, [](const layerwise::layer_metrics& layer) { return std::optional(layer.cosine_similarity); });
}
double final_jump(const measurement& m) { return m.layers.back().jump_rate.value_or(0); }
double last_displacement(const measurement& m) { return 100 * m.layers.back().displacement; }
double penultimate_displacement(const measurement& m) {
  const std::size_t count = m.layers.size();
  return count < 2 ? std::numeric_limits<double>::quiet_NaN() : 100 * m.layers[count - 2].displacement;
}
double penultimate_jump(const measurement& m) {
  const std::size_t count = m.layers.size();
  if (count < 3) return std::numeric_limits<double>::quiet_NaN();
  return 100 * std::max(0.0, m.layers[count - 2].displacement - m.layers[count - 3].displacement);
}

std::vector<claim> judge_claims(const results& all) { return judge_of_runs(all).claims(); }

}  // namespace pretraining
