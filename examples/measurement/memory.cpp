#include "measurement/memory.hpp"

#include "common/input_error.hpp"
#include "common/memory_limit.hpp"

#include <fmt/format.h>
#include <Eigen/Core>

#include <algorithm>
#include <string>

namespace examples::measurement {

double memory_needed(const dumps::layer_stack& stack, const demands& of) {
  const double d = static_cast<double>(stack.dimensions), all = static_cast<double>(stack.states),
               states = of.pairs_in_turn ? 2.0 : all;
  // A block of 512 tokens a layer waits to be filled; four more are worked in.
  const auto blocks = [&](double layers) { return (layers + 4.0) * 512.0 * d; };
  // Of each pair x^T x and x^T t; and, for the pairs that are solved at once, copies of them, a factor and a solution.
  const double at_once = std::min(states - 1.0, static_cast<double>(Eigen::nbThreads()));
  double doubles = blocks(states);
  // A metric has copies of a pair's moments, as they are and centred, and what an SVD works in, on each thread.
  constexpr double for_metrics = 14.0;
  if (of.linearity) {
    const double work = std::max(5.0 * at_once, of.metrics_of_moments ? 1.0 + for_metrics * at_once : 0.0);
    doubles += (2.0 * (states - 1.0) + work) * d * d;
  }
  // Passes after the first, which begin when its moments are gone.
  if (of.to_last) doubles = std::max(doubles, blocks(states) + (2.0 * (states - 1.0) + for_metrics) * d * d);
  if (of.all_pairs) doubles = std::max(doubles, blocks(all) + (all + 0.5 * all * (all - 1.0) + for_metrics) * d * d);
  return std::max(doubles * sizeof(double), of.sample_bytes);
}

void check_memory(const dumps::layer_stack& stack, const demands& of) {
  const auto limit = available_memory();
  const double needed = memory_needed(stack, of);
  if (needed <= limit.bytes) return;
  std::string remedy;
  const auto offer = [&](const char* what, const demands& less) {
    const double bytes = memory_needed(stack, less);
    if (bytes < needed && bytes <= limit.bytes)
      remedy += fmt::format("{}{} {:.3g} GiB", remedy.empty() ? "; " : ", and ", what, bytes / 0x1p30);
  };
  auto less = of;
  less.all_pairs = false;
  if (of.all_pairs) offer("--heat-map angles needs", less);
  less = of;
  less.pairs_in_turn = true;
  if (of.linearity && !of.pairs_in_turn) offer("--pairs-in-turn needs", less);
  less = demands{.linearity = false, .pairs_in_turn = of.pairs_in_turn};
  if (of.linearity) offer("--no-linearity, for angles and displacements only,", less);
  reject(stack.shards.front().path, "{} states of {} dimensions need about {:.3g} GiB{}, got {:.3g} GiB {}{}",
         stack.states, stack.dimensions, needed / 0x1p30, of.all_pairs ? " for all pairs of layers" : "",
         limit.bytes / 0x1p30, limit.set_by, remedy);
}

}  // namespace examples::measurement
