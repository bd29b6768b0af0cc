#pragma once

#include "common/reading.hpp"
#include "dumps/layer_stack.hpp"
#include "metrics/metric_values.hpp"

#include <layerwise/statistics.hpp>

#include <optional>
#include <string>
#include <vector>

namespace examples::layerwise_compare {

using dumps::index;
using dumps::layer_stack;

/// Which layers are compared.
enum class pairing {
  all,   // each of A with each of B
  same,  // each of A with the one of B at the same depth
};

/// One of the two dumps.
struct compared_dump {
  std::string title;
  std::vector<std::string> files;
  std::string dtype;
  index dimensions;
  std::vector<index> numbers;  // of its states in their model
  examples::reading taken;
};

/// Metrics of pairs of layers, (from, to) of A and of B, counted from 0 in the dumps.
struct comparison {
  compared_dump a, b;
  index tokens;  // that take part
  pairing kind;
  std::vector<layerwise::layer_pair> pairs;
  metrics::metric_values values;  // a row for each pair
};

/// Row t of the one is to be the token that row t of the other is: throws input_error where the dumps are not of the
/// same tokens, with what differs.
void require_same_tokens(const layer_stack& a, const layer_stack& b);

/// How many pairs of layers are compared.
index pair_count(const layer_stack& a, const layer_stack& b, pairing kind);

/// Of dumps of the same tokens, of which so many take part. Nothing is measured yet.
comparison describe(const layer_stack& a, const layer_stack& b, index tokens, pairing kind,
                    std::vector<const metrics::metric*> chosen);

/// Where the ids of the tokens, which both dumps have beside their states in one type, first differ; nothing where they
/// don't, or can't be compared.
std::optional<index> first_other_token(const layer_stack& a, const layer_stack& b);

}  // namespace examples::layerwise_compare
