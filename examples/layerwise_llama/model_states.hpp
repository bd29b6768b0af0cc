#pragma once

#include "model_run.hpp"

#include "measurement/state_source.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace examples::layerwise_llama {

/// The states of a model that runs: it is run again where they are gone through again.
class model_states final : public measurement::state_source {
 public:
  using note = std::function<void(const std::string&)>;

  /// Of each sequence the first `skip_first` tokens take no part. `loss`, unless null, is taken along when the states
  /// are gone through first. What it keeps of whole states takes `kept_bytes`, or as much as two states; where one run
  /// of the model can't fill in what was asked for, it tells how many it takes.
  model_states(const language_model& model, const model_run& run, index skip_first, next_token_loss* loss, note tell,
               double kept_bytes = 0x1p30);

  void each_batch(const std::vector<index>& states, report::progress_bar& progress,
                  const measurement::batch_body& body) const override;
  dumps::whole_layer whole(index state, index through) const override;
  std::optional<std::string> why_no_whole() const override;

 private:
  /// All rows of h_first, h_first + 1 ...
  struct kept_states {
    index first = 0;
    std::vector<std::vector<float>> rows;
    dumps::layer_stack stack;
    std::uint64_t used = 0;  // when it was asked for last

    bool has(index state) const { return state >= first && state < first + std::ssize(rows); }
  };

  double state_bytes() const;
  kept_states& keep(index first, index last) const;

  const model_run* run_;
  next_token_loss* loss_;
  note tell_;
  double kept_bytes_;
  mutable std::array<kept_states, 2> kept_;  // metrics of a pair look at two at once
  mutable std::uint64_t asked_ = 0;
  mutable index told_ = -1;  // up to which state
};

}  // namespace examples::layerwise_llama
