#include "model_states.hpp"

#include "common/input_error.hpp"
#include "common/memory_limit.hpp"
#include "dumps/token_choice.hpp"

#include <layerwise/core.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

namespace examples::layerwise_llama {
namespace {

/// What there is to see of the states before the model has run.
dumps::layer_stack stack_of(const language_model& model, const model_run& run, index skip_first) {
  const auto& stream = run.stream();
  const auto& sequences = run.sequences();
  const auto states = stream.nodes.size();
  const index tokens = std::ssize(sequences.tokens), d = stream.dimensions;
  const std::vector<dumps::layer_matrix> not_there(states, {nullptr, d, 1});
  dumps::layer_stack stack{dumps::data_type::f32, std::ssize(stream.nodes), tokens, d, {}, {}, "before", {}, {}, {}};
  stack.shards.push_back({model.path(), tokens, not_there, sequences.lengths, {}});
  stack.numbers.resize(states);
  std::iota(stack.numbers.begin(), stack.numbers.end(), index{0});
  stack.reading.states = stream.nodes;
  stack.reading.axes = "[token][dim]";
  stack.reading.axes_because = "nodes of llama.cpp's graph of " + model.architecture();
  stack.reading.order_because = "h_0 is what its first norm is given, h_l what block l - 1 puts out";
  stack.reading.remarks = sequences.remarks;
  choose_tokens(stack, {{}, skip_first, false});
  return stack;
}

}  // namespace

model_states::model_states(const language_model& model, const model_run& run, index skip_first, next_token_loss* loss,
                           note tell, double kept_bytes)
    : state_source(stack_of(model, run, skip_first)),
      run_(&run),
      loss_(loss),
      tell_(std::move(tell)),
      kept_bytes_(kept_bytes) {}

void model_states::each_batch(const std::vector<index>& states, report::progress_bar& progress,
                              const measurement::batch_body& body) const {
  const auto& shard = stack().shards.front();
  run_->each_batch(
      states,
      [&](const model_run::states& batch, index first, index count) {
        if (const auto mask = mask_of(shard, first, count)) try {
            body(batch, *mask);
          } catch (const layerwise::error& error) {
            measurement::reject_states(shard.path, first, count, states, error.what());
          }
        progress.advance(count);
      },
      loss_ != nullptr && loss_->predictions() == 0 ? loss_ : nullptr);
}

double model_states::state_bytes() const {
  return sizeof(float) * static_cast<double>(stack().tokens) * static_cast<double>(stack().dimensions);
}

std::optional<std::string> model_states::why_no_whole() const {
  const double two = 2 * state_bytes(), room = available_memory().bytes;
  if (two <= room) return std::nullopt;
  return fmt::format("two states of {} tokens take {:.3g} GiB, got {:.3g} GiB", stack().tokens, two / 0x1p30,
                     room / 0x1p30);
}

/// Of what is kept the part that was asked for less recently makes room.
model_states::kept_states& model_states::keep(index first, index last) const {
  auto& kept = *std::ranges::min_element(kept_, {}, &kept_states::used);
  if (const auto why = why_no_whole()) reject(stack().shards.front().path, "{}: expected fewer --tokens", *why);
  const auto fit = static_cast<index>(std::max(1.0, kept_bytes_ / 2 / state_bytes()));
  if (const index runs = (last - first + fit) / fit; runs > 1 && told_ < last) {
    tell_(fmt::format("h_{} ... h_{} are taken once more, {} at a time: up to {} further runs of the model", first,
                      last, fit, runs));
    told_ = last;
  }
  last = std::min(last, first + fit - 1);

  kept.first = first;
  kept.rows.assign(static_cast<std::size_t>(last - first + 1), {});
  for (auto& rows : kept.rows) rows.reserve(static_cast<std::size_t>(stack().tokens * stack().dimensions));
  run_->each_batch(measurement::states_from(first, last), [&](const model_run::states& batch, index, index count) {
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const float* data = std::get<layerwise::strided_view<const float>>(batch[i]).data();
      kept.rows[i].insert(kept.rows[i].end(), data, data + count * stack().dimensions);
    }
  });
  kept.stack = stack();
  for (index l = first; l <= last; ++l)
    kept.stack.shards.front().states[static_cast<std::size_t>(l)].data =
        reinterpret_cast<const std::byte*>(kept.rows[static_cast<std::size_t>(l - first)].data());
  return kept;
}

dumps::whole_layer model_states::whole(index state, index through) const {
  const auto found = std::ranges::find_if(kept_, [&](const kept_states& kept) { return kept.has(state); });
  auto& kept = found != kept_.end() ? *found : keep(state, through);
  kept.used = ++asked_;
  return {kept.stack, state};
}

}  // namespace examples::layerwise_llama
