#pragma once

#include "measurement/state_source.hpp"

namespace examples::measurement {

/// States that lie in files, which are mapped: lets go of the pages behind it.
class dumped_states final : public state_source {
 public:
  /// Reads so many tokens at a time.
  dumped_states(layer_stack stack, index batch_tokens);

  void each_batch(const std::vector<index>& states, report::progress_bar& progress,
                  const batch_body& body) const override;
  dumps::whole_layer whole(index state, index through) const override;

 private:
  index batch_tokens_;
};

/// As many tokens as make a batch of about 64 MiB, from 256 to 4096.
index default_batch_tokens(const layer_stack& stack);

}  // namespace examples::measurement
