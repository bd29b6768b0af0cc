#include "measure.hpp"

#include "common/input_error.hpp"
#include "dumps/token_choice.hpp"
#include "dumps/whole_layer.hpp"
#include "metrics/parallel_rows.hpp"
#include "report/progress_bar.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

namespace examples::layerwise_compare {
namespace {

using metrics::metric;
using metrics::source;

bool is_of_moments(const metric& each) { return each.from == source::moments; }
bool is_of_sample(const metric& each) { return each.from == source::sample; }

/// Layers of A and of B one after the other: those that are in pairs.
struct joined_layers {
  struct origin {
    const layer_stack* stack;
    index state;
  };
  std::vector<dumps::whole_layer> layers;
  std::vector<origin> origins;               // of each
  std::vector<index> of_b;                   // where layer j of B is; -1: in no pair
  std::vector<layerwise::layer_pair> pairs;  // of the joined layers
  index dimensions;                          // the larger width

  joined_layers(const layer_stack& a, const layer_stack& b, const std::vector<layerwise::layer_pair>& wanted)
      : of_b(static_cast<std::size_t>(b.states), -1), dimensions(std::max(a.dimensions, b.dimensions)) {
    for (index i = 0; i < a.states; ++i) add(a, i);
    pairs.reserve(wanted.size());
    for (const auto [from, to] : wanted) {
      auto& place = of_b[static_cast<std::size_t>(to)];
      if (place < 0) {
        place = std::ssize(layers);
        add(b, to);
      }
      pairs.push_back({from, place});
    }
  }

 private:
  void add(const layer_stack& stack, index state) {
    layers.emplace_back(stack, state);
    origins.push_back({&stack, state});
  }
};

void copy_rows(const dumps::whole_layer& from, index first, index count, layerwise::row_matrix& to) {
  const auto data = from.matrix();
  to.leftCols(data.cols()) = data.middleRows(first, count);
}

/// Throws input_error for what the library has to say against rows of one layer, by the layer's number in its dump.
void reject_if_bad(const joined_layers::origin& from, const layerwise::row_matrix& rows,
                   const layerwise::token_mask& mask, const std::string& where) {
  try {
    layerwise::layer_moments().add(rows.leftCols(from.stack->dimensions), mask);
  } catch (const layerwise::error& error) {
    reject(from.stack->files.front().path, "layer {}, {}: {}",
           from.stack->numbers[static_cast<std::size_t>(from.state)], where, error.what());
  }
}

layerwise::stack_moments take_moments(const joined_layers& joined, const layer_stack& a, const layer_stack& b,
                                      index batch_tokens, const layerwise::token_mask& mask) {
  report::progress_bar progress(a.tokens, "tokens");
  layerwise::stack_moments moments{layerwise::layer_pairs(joined.pairs)};
  std::vector<layerwise::row_matrix> batch(joined.layers.size());
  for (index first = 0; first < a.tokens; first += batch_tokens) {
    const index count = std::min(batch_tokens, a.tokens - first);
    std::vector<bool> keep(static_cast<std::size_t>(count));
    for (index i = 0; i < count; ++i) keep[static_cast<std::size_t>(i)] = mask.keeps(first + i);
    if (std::ranges::find(keep, true) != keep.end()) {
      for (std::size_t l = 0; l < batch.size(); ++l) {
        batch[l].setZero(count, joined.dimensions);
        copy_rows(joined.layers[l], first, count, batch[l]);
      }
      try {
        moments.add(batch, layerwise::token_mask(keep));
      } catch (const layerwise::error&) {
        const auto where = fmt::format("in tokens {} to {} (row 0 is token {})", first, first + count - 1, first);
        for (std::size_t l = 0; l < batch.size(); ++l)
          reject_if_bad(joined.origins[l], batch[l], layerwise::token_mask(keep), where);
        throw;
      }
    }
    a.release_pages();
    b.release_pages();
    progress.advance(count);
  }
  return moments;
}

}  // namespace

void measure(comparison& result, const layer_stack& a, const layer_stack& b, index batch_tokens,
             const metrics::token_sets& tokens) {
  const joined_layers joined(a, b, result.pairs);
  if (result.values.any(is_of_moments)) {
    const auto moments = take_moments(joined, a, b, batch_tokens, tokens.all);
    report::progress_bar progress(std::ssize(result.pairs), "pairs");
    metrics::for_rows(std::ssize(result.pairs), [&](index row) {
      const auto i = static_cast<std::size_t>(row);
      const auto pair = moments.pair(joined.pairs[i].from, joined.pairs[i].to);
      metrics::evidence of;
      of.pair = &pair;
      result.values.compute(i, of, is_of_moments);
      progress.advance(1);
    });
  }
  if (result.values.any(is_of_sample)) {
    report::progress_bar progress(std::ssize(result.pairs), "pairs, neighbours");
    for (std::size_t i = 0; i < result.pairs.size(); ++i) {
      metrics::evidence of;
      of.x = &joined.layers[static_cast<std::size_t>(joined.pairs[i].from)];
      of.y = &joined.layers[static_cast<std::size_t>(joined.pairs[i].to)];
      of.tokens = &tokens;
      result.values.compute(i, of, is_of_sample);
      progress.advance(1);
    }
  }
}

}  // namespace examples::layerwise_compare
