#pragma once

#include "measurement/state_source.hpp"

#include "metrics/metric_values.hpp"
#include "report/report.hpp"

#include <string>
#include <vector>

namespace examples::measurement {

/// The metrics that a profile can be given more of: those of a layer; those of a pair, of the layer and the one before;
/// what follows from the displacements; and how linearly the last layer can be read from each.
const std::vector<const metrics::metric*>& known_metrics();

/// Metrics of the layers of a stack, a row for each of h_0 ... h_L, computed as the profile is taken.
class added_metrics {
 public:
  added_metrics(const state_source& source, std::vector<const metrics::metric*> chosen, metrics::token_sets tokens,
                const layerwise::profile_options& options);

  bool needs_moments() const;
  bool needs_data() const;      // whole states
  bool needs_last() const;      // the pairs of each layer and the last
  double sample_bytes() const;  // that metrics of neighbours take; 0 if there are none

  /// What measure() gives; the states before `first_state` are known already.
  void take_moments(const layerwise::stack_moments& moments, index first_state);
  /// What comes from the profile, and from the data in further passes; `pairs_in_turn` as for measure().
  void finish(const layerwise::layer_profile& profile, bool pairs_in_turn);

  report::added_columns columns() const;
  /// What to tell the user: the sample, and why values are missing.
  std::vector<std::string> notes() const;

 private:
  void take_last(bool pairs_in_turn);

  const state_source* source_;
  metrics::token_sets tokens_;
  layerwise::linearity_options linearity_;
  metrics::metric_values values_;
};

}  // namespace examples::measurement
