#include "metrics/evidence.hpp"

namespace examples::metrics {

const layerwise::spectrum_result& evidence::spectrum() {
  if (!spectrum_) spectrum_ = layerwise::spectrum(*layer);
  return *spectrum_;
}

const layerwise::scatter& evidence::centred() {
  if (!centred_) centred_ = pair->scatter();
  return *centred_;
}

}  // namespace examples::metrics
