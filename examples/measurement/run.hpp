#pragma once

#include "measurement/added_metrics.hpp"
#include "measurement/memory.hpp"
#include "measurement/options.hpp"
#include "measurement/state_source.hpp"
#include "report/report.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace examples::measurement {

/// The report of a source that nothing was measured of yet.
report::described_profile describe(const state_source& source, std::string title, std::vector<std::string> files);

/// What the options ask of a source, before anything is measured.
class run {
 public:
  /// `program` says on stderr what is left out, and why; `sequence_length` where the caller knows it. Throws input_error for a metric that can't be had.
  run(std::string_view program, const state_source& source, const options& asked, std::optional<index> sequence_length);

  demands needs() const;

  /// Checks the memory, then measures: fills in the profile, the metrics, the matrices of a described source. Says which
  /// scores stay in doubt for want of memory.
  void measure(report::described_profile& result);

  /// Prints, writes and draws it.
  void show(const report::described_profile& result) const;

 private:
  void check_whole() const;
  void say_what_stays_in_doubt(const layerwise::layer_profile& profile) const;

  std::string program_;
  const state_source* source_;
  options asked_;
  added_metrics added_;
};

}  // namespace examples::measurement
