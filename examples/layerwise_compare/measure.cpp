#include "measure.hpp"

#include "common/input_error.hpp"
#include "common/memory_limit.hpp"
#include "dumps/token_choice.hpp"
#include "dumps/whole_layer.hpp"
#include "metrics/parallel_rows.hpp"
#include "report/progress_bar.hpp"

#include <fmt/format.h>
#include <Eigen/Core>

#include <algorithm>
#include <utility>
#include <vector>

namespace examples::layerwise_compare {
namespace {

using metrics::metric;
using metrics::source;

bool is_of_moments(const metric& each) { return each.from == source::moments; }
bool is_of_sample(const metric& each) { return each.from == source::sample; }

/// Layers of A and of B one after the other: those that are in pairs.
struct joined_layers {
  std::vector<dumps::whole_layer> layers;
  std::vector<index> of_b;                   // where layer j of B is; -1: in no pair
  std::vector<layerwise::layer_pair> pairs;  // of the joined layers
  index dimensions;                          // the larger width

  joined_layers(const layer_stack& a, const layer_stack& b, const std::vector<layerwise::layer_pair>& wanted)
      : of_b(static_cast<std::size_t>(b.states), -1), dimensions(std::max(a.dimensions, b.dimensions)) {
    for (index i = 0; i < a.states; ++i) layers.emplace_back(a, i);
    for (const auto [from, to] : wanted) {
      auto& place = of_b[static_cast<std::size_t>(to)];
      if (place < 0) {
        place = std::ssize(layers);
        layers.emplace_back(b, to);
      }
      pairs.push_back({from, place});
    }
  }
};

/// How many layers are gone through.
index joined_count(const comparison& of) {
  return std::ssize(of.a.numbers) + std::min(std::ssize(of.b.numbers), std::ssize(of.pairs));
}

/// As many tokens as make a batch of about 64 MiB.
index batch_of(const comparison& of, const measure_options& options) {
  const double token = static_cast<double>(joined_count(of) * std::max(of.a.dimensions, of.b.dimensions));
  return options.batch_tokens.value_or(std::clamp<index>(static_cast<index>(0x1p23 / token), 64, 512));
}

void check_memory(const comparison& of, double needed) {
  const auto limit = available_memory();
  if (needed <= limit.bytes) return;
  reject(of.a.files.front(), "{} pairs of layers of {} and {} dimensions need about {:.3g} GiB, got {:.3g} GiB {}{}",
         of.pairs.size(), of.a.dimensions, of.b.dimensions, needed / 0x1p30, limit.bytes / 0x1p30, limit.set_by,
         of.kind == pairing::all ? "; --pairs same needs less" : "");
}

void copy_rows(const dumps::whole_layer& from, index first, index count, layerwise::row_matrix& to) {
  const auto data = from.matrix();
  to.leftCols(data.cols()) = data.middleRows(first, count);
}

layerwise::stack_moments take_moments(const joined_layers& joined, const layer_stack& a, const layer_stack& b,
                                      index batch_tokens) {
  const auto mask = mask_of(a);
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
        moments.add(batch, layerwise::token_mask(std::move(keep)));
      } catch (const layerwise::error& error) {
        reject(a.files.front().path,
               "and {}: in tokens {} to {} (row 0 is token {}, layers from {} on are the second's): {}",
               b.files.front().path, first, first + count - 1, first, a.states, error.what());
      }
    }
    a.release_pages();
    b.release_pages();
    progress.advance(count);
  }
  return moments;
}

}  // namespace

double memory_needed(const comparison& of, const measure_options& options) {
  const double d = static_cast<double>(std::max(of.a.dimensions, of.b.dimensions));
  const double layers = static_cast<double>(joined_count(of));
  const double pairs = static_cast<double>(of.pairs.size());
  double doubles = 0;
  if (of.values.any(is_of_moments)) {
    // The batch, a block of 512 tokens a layer that waits to be filled, four more that are worked in; on each thread
    // copies of a pair, and what an SVD works in.
    doubles = (layers * static_cast<double>(batch_of(of, options)) + (layers + 4.0) * 512.0) * d;
    doubles += (layers + pairs + 14.0 * std::min(pairs, static_cast<double>(Eigen::nbThreads()))) * d * d;
  }
  if (of.values.any(is_of_sample))
    doubles =
        std::max(doubles, static_cast<double>(options.sample) * static_cast<double>(of.a.dimensions + of.b.dimensions));
  return doubles * sizeof(double);
}

void measure(comparison& result, const layer_stack& a, const layer_stack& b, const measure_options& options) {
  check_memory(result, memory_needed(result, options));
  const joined_layers joined(a, b, result.pairs);
  if (result.values.any(is_of_moments)) {
    const auto moments = take_moments(joined, a, b, batch_of(result, options));
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
    const auto tokens = metrics::token_sets_of(a, options.sample, std::nullopt);
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
