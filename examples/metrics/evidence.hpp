#pragma once

#include "dumps/whole_layer.hpp"
#include "metrics/token_sample.hpp"

#include <layerwise/metrics.hpp>
#include <layerwise/profile.hpp>
#include <layerwise/statistics.hpp>

#include <functional>
#include <optional>

namespace examples::metrics {

/// What a metric of a layer X, or of a pair of layers X and Y, is computed from; null where it is not at hand. What
/// several metrics take of it is computed once.
class evidence {
 public:
  const layerwise::layer_moments* layer = nullptr;  // of X
  const layerwise::cross_moments* pair = nullptr;   // of X and Y
  const dumps::whole_layer* x = nullptr;            // the data
  const dumps::whole_layer* y = nullptr;
  std::function<void()> fetch;                         // sets x and y, where that takes time
  const token_sets* tokens = nullptr;                  // of the data
  const layerwise::layer_metrics* profiled = nullptr;  // of the layer from X to Y
  double collapse_index = 0;                           // of the layer from X to Y
  layerwise::linearity_options linearity;

  /// Of X, from its moments.
  const layerwise::spectrum_result& spectrum();
  /// Of X and Y, about the means, from their moments.
  const layerwise::scatter& centred();

 private:
  std::optional<layerwise::spectrum_result> spectrum_;
  std::optional<layerwise::scatter> centred_;
};

}  // namespace examples::metrics
