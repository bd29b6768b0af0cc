#include "memory.hpp"

#include "common/input_error.hpp"
#include "common/memory_limit.hpp"
#include "metrics/token_sample.hpp"

#include <fmt/format.h>
#include <Eigen/Core>

#include <algorithm>
#include <vector>

namespace examples::layerwise_compare {
namespace {

/// How many layers are gone through.
index joined_count(const layer_stack& a, const layer_stack& b, pairing kind) {
  return a.states + (kind == pairing::all ? b.states : std::min(a.states, b.states));
}

double moment_bytes(const layer_stack& a, const layer_stack& b, const options& asked) {
  const double d = static_cast<double>(std::max(a.dimensions, b.dimensions));
  const double layers = static_cast<double>(joined_count(a, b, asked.pairs));
  const double pairs = static_cast<double>(pair_count(a, b, asked.pairs));
  // The batch, a block of 512 tokens a layer that waits to be filled, four more that are worked in; a number of each
  // of these rows, too. On each thread copies of a pair, and what an SVD works in.
  double doubles = (layers * static_cast<double>(batch_of(a, b, asked)) + (layers + 4.0) * 512.0) * (d + 1.0);
  doubles += (layers + pairs + 14.0 * std::min(pairs, static_cast<double>(Eigen::nbThreads()))) * d * d;
  // Beside its d^2 sums a pair has seven of columns, and is in lists.
  return (doubles + 7.0 * pairs * d) * sizeof(double) + 450.0 * pairs;
}

/// The row of each pair: its cells, and a place in the lists of rows and of pairs.
double table_bytes(double pairs, double columns) {
  using cell = report::field_value;
  return pairs * (columns * sizeof(cell) + sizeof(std::vector<cell>) + 16.0 + sizeof(layerwise::layer_pair));
}

/// What is written, made in memory.
double report_bytes(double pairs, double columns, output_format format) {
  switch (format) {
    case output_format::json:  // a tree of it first
      return pairs * (500.0 + 150.0 * columns);
    case output_format::csv:
      return pairs * (12.0 + 24.0 * columns);
    default:
      return pairs * 8.0 * columns;
  }
}

}  // namespace

index batch_of(const layer_stack& a, const layer_stack& b, const options& asked) {
  const double token = static_cast<double>(joined_count(a, b, asked.pairs) * std::max(a.dimensions, b.dimensions));
  const index wanted = asked.batch_tokens.value_or(std::clamp<index>(static_cast<index>(0x1p23 / token), 64, 512));
  return std::min(wanted, a.tokens);
}

double memory_needed(const layer_stack& a, const layer_stack& b, index tokens, const options& asked) {
  const double pairs = static_cast<double>(pair_count(a, b, asked.pairs));
  double columns = 0, most = 0;
  for (const auto* each : asked.chosen) {
    columns += static_cast<double>(each->columns.size());
    most = std::max(most, each->from == metrics::source::sample
                              ? metrics::sample_bytes(std::min(asked.sample, tokens), a.dimensions + b.dimensions)
                              : moment_bytes(a, b, asked));
  }
  return table_bytes(pairs, columns) + std::max(most, report_bytes(pairs, columns, asked.format));
}

void check_memory(const layer_stack& a, const layer_stack& b, index tokens, const options& asked) {
  const auto limit = available_memory();
  const double needed = memory_needed(a, b, tokens, asked);
  if (needed <= limit.bytes) return;
  reject(a.files.front().path, "{} pairs of layers of {} and {} dimensions need about {:.3g} GiB, got {:.3g} GiB {}{}",
         pair_count(a, b, asked.pairs), a.dimensions, b.dimensions, needed / 0x1p30, limit.bytes / 0x1p30, limit.set_by,
         asked.pairs == pairing::all ? "; --pairs same needs less" : "");
}

}  // namespace examples::layerwise_compare
