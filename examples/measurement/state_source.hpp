#pragma once

#include "dumps/layer_stack.hpp"
#include "dumps/whole_layer.hpp"
#include "report/progress_bar.hpp"

#include <layerwise/data.hpp>

#include <functional>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace examples::measurement {

using dumps::index;
using dumps::layer_stack;

/// Called with some states of some consecutive tokens, a matrix a state, and which of the tokens take part.
using batch_body = std::function<void(const std::vector<layerwise::any_view>& states, const layerwise::token_mask&)>;

/// The hidden states h_0 ... h_L of some tokens, gone through as often as one asks: they lie in files, or a model makes
/// them anew.
class state_source {
 public:
  /// Of what `stack` describes; its data may be null where the states must be made first.
  explicit state_source(layer_stack stack) : stack_(std::move(stack)) {}
  virtual ~state_source() = default;
  state_source(const state_source&) = delete;
  state_source& operator=(const state_source&) = delete;

  const layer_stack& stack() const { return stack_; }

  /// Goes through all tokens: body(batch, mask) with those states, which ascend, of each batch that has tokens which take
  /// part; `progress` counts tokens. Throws input_error for what the library has to say against the data.
  virtual void each_batch(const std::vector<index>& states, report::progress_bar& progress,
                          const batch_body& body) const = 0;

  /// One state of all tokens, good until two others were asked for. It is going to be asked for those after it next, up to
  /// `through`.
  virtual dumps::whole_layer whole(index state, index through) const = 0;
  /// Why two can't be had, for want of memory, in words; nothing where they can.
  virtual std::optional<std::string> why_no_whole() const { return std::nullopt; }

 private:
  layer_stack stack_;
};

/// Throws an input_error for what the library has to say against those states of some tokens: it counts both from 0.
[[noreturn]] void reject_states(const std::string& path, index first_token, index tokens,
                                const std::vector<index>& states, const std::string& what);

/// first, first + 1 ... last.
inline std::vector<index> states_from(index first, index last) {
  std::vector<index> states(static_cast<std::size_t>(last - first + 1));
  std::iota(states.begin(), states.end(), first);
  return states;
}

}  // namespace examples::measurement
