#include "report.hpp"

#include "claims.hpp"
#include "common/input_error.hpp"
#include "common/write_file.hpp"
#include "pictures.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

namespace pretraining {
namespace {

namespace fs = std::filesystem;

/// The name that a run is compared under.
auto key_of(const run_record& run) { return std::tie(run.purpose, run.label, run.seed); }

/// What runs of one purpose have in common: which checkpoint they began with may differ, and the threads.
std::map<std::string, std::string> common_settings(const run_record& run) {
  std::map<std::string, std::string> settings = run.settings;
  settings.erase("threads");
  if (std::string& from = settings["from"]; !from.empty()) from = "a checkpoint";
  std::erase_if(settings, [](const auto& setting) { return setting.second.empty(); });
  return settings;
}

void require_same_settings(const run_record& run, const std::string& path, const run_record& other) {
  const auto own = common_settings(run), expected = common_settings(other);
  const auto value_of = [](const std::map<std::string, std::string>& settings, const std::string& key) {
    const auto found = settings.find(key);
    return found == settings.end() ? "nothing" : found->second;
  };
  for (const auto& [key, value] : own.size() > expected.size() ? own : expected)
    if (value_of(own, key) != value_of(expected, key))
      examples::reject(path, "expected {} {}, as the other runs of purpose {} have, got {}: see --purpose", key,
                       value_of(expected, key), run.purpose, value_of(own, key));
}

/// Every finished run and replacement below the folder, in the order of their paths.
results read_results(const std::string& folder) {
  std::vector<fs::path> paths;
  std::error_code code;
  for (fs::recursive_directory_iterator it(folder, code), end; !code && it != end; it.increment(code))
    paths.push_back(it->path());
  if (code) examples::reject(folder, "it can't be read: {}", code.message());
  std::sort(paths.begin(), paths.end());
  results all;
  for (const fs::path& path : paths) {
    if (path.filename() == "run.jsonl") {
      run_record run = read_run(path);
      for (const run_record& other : all.runs) {
        if (key_of(other) == key_of(run))
          examples::reject(path.string(), "expected one run of {} ({}) with seed {}, got two: see --label", run.label,
                           run.purpose, run.seed);
        if (other.purpose == run.purpose) require_same_settings(run, path.string(), other);
      }
      all.runs.push_back(std::move(run));
    }
    if (path.filename() == "replacement.json") all.replacements.push_back(read_replacement(path));
  }
  if (all.runs.empty()) examples::reject(folder, "expected runs (*/run.jsonl), got none");
  return all;
}

std::string text_of(const interval& i, int digits) {
  const std::string mean = fmt::format("{:.{}f}", i.mean, digits);
  return i.half_width ? fmt::format("{} ± {:.{}f}", mean, *i.half_width, digits) : mean;
}

std::string claims_table(const std::vector<claim>& claims) {
  std::string text =
      "| | claim | model | how much | seeds | verdict |\n"
      "|---|---|---|---|---|---|\n";
  for (const claim& c : claims)
    text += fmt::format("| {} | {} | {} | {} {} | {} | {} |\n", c.number, c.text, c.model,
                        text_of(c.claimed_positive, c.unit == "points" ? 2 : 4), c.unit, c.claimed_positive.count,
                        text_of(judge(c.claimed_positive)));
  return text;
}

/// The mean over seeds of what the models are at the end.
std::string models_table(const results& all) {
  std::map<std::pair<std::string, std::string>, std::vector<const measurement*>> ends;  // by purpose and label
  for (const run_record& run : all.runs) ends[{run.purpose, run.label}].push_back(&run.measurements.back());
  std::string text =
      "| run | model | seeds | held-out loss | linearity | without the residual | cosine | final jump | jump "
      "before | last displacement | displacement before |\n"
      "|---|---|---|---|---|---|---|---|---|---|---|\n";
  for (const auto& [key, measurements] : ends) {
    const auto cell = [&ends = measurements](double (*number)(const measurement&), int digits) {
      std::vector<double> values;
      values.reserve(ends.size());
      for (const measurement* m : ends) values.push_back(number(*m));
      return text_of(interval_of(values), digits);
    };
    text += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", key.first, key.second,
                        measurements.size(), cell([](const measurement& m) { return m.held_out_loss; }, 4),
                        cell(mean_linearity, 3), cell(mean_residual_linearity, 3), cell(mean_cosine, 3),
                        cell(final_jump, 2), cell(penultimate_jump, 2), cell(last_displacement, 2),
                        cell(penultimate_displacement, 2));
  }
  return text;
}

std::string replacement_table(const std::vector<replacement_record>& records) {
  if (records.empty()) return {};
  std::string text =
      "\n## Each layer replaced by its linear map\n\n"
      "Linearity with and without the residual stream, and by how much the held-out loss rises.\n\n"
      "| model | seed | layer | linearity | without | loss rises by |\n|---|---|---|---|---|---|\n";
  const auto score = [](const std::optional<layerwise::linearity_result>& result) {
    return result ? fmt::format("{:.4f}", result->score) : "-";
  };
  for (const replacement_record& record : records)
    for (std::size_t l = 0; l < record.layers.size(); ++l) {
      const replaced_layer& layer = record.layers[l];
      text += fmt::format("| {} | {} | {} | {} | {} | {:.4f} |\n", record.label, record.seed, l + 1,
                          score(layer.metrics.linearity), score(layer.metrics.residual_linearity),
                          layer.held_out_loss - record.held_out_loss);
    }
  return text;
}

/// The settings of each purpose.
std::string settings_list(const results& all) {
  std::map<std::string, std::pair<const run_record*, std::set<std::string>>> purposes;
  for (const run_record& run : all.runs) {
    auto& [first, threads] = purposes.try_emplace(run.purpose, &run, std::set<std::string>{}).first->second;
    if (const auto found = run.settings.find("threads"); found != run.settings.end()) threads.insert(found->second);
  }
  std::string text;
  for (const auto& [purpose, found] : purposes) {
    text += fmt::format("- {}: ", purpose);
    for (const auto& [key, value] : common_settings(*found.first)) text += fmt::format("{} {}, ", key, value);
    text += fmt::format("threads {}\n", fmt::join(found.second, " or "));
  }
  return text;
}

}  // namespace

void write_report(const std::string& folder) {
  const results all = read_results(folder);
  std::string text = fmt::format(
      "# Pre-training with regularizers of the hidden states\n\n"
      "## Claims\n\n"
      "Every claim says that a number is positive. Given are its mean over seeds and the 95 % interval of "
      "the mean "
      "(Student's t; differences are of runs with the same seed). A claim is *reproduced* if the whole "
      "interval is "
      "above 0, *not reproduced* if it is below 0, and *unclear* otherwise, or with one seed. Each is judged "
      "on its "
      "own: of twenty numbers without an effect one is expected to look like one.\n\n{}"
      "\n## Models\n\nAt the end of each run, on its held-out text: mean over layers, then over seeds with "
      "its 95 % "
      "interval. Jumps and displacements in points: 100 max(0, Psi_l - Psi_{{l-1}}) and 100 Psi_l of the "
      "last "
      "layer and the one before. A jump is 0 wherever a layer turns less than the one before.\n\n{}{}",
      claims_table(judge_claims(all)), models_table(all), replacement_table(all.replacements));
  text += "\n## Pictures\n\nCurves are means over seeds; a band spans them.\n\n";
  for (const picture& p : draw_pictures(all, folder)) text += fmt::format("![{}]({})\n\n", p.title, p.file);
  text += "## Settings\n\n" + settings_list(all);
  examples::write_file(fs::path(folder) / "report.md", text);
}

}  // namespace pretraining
