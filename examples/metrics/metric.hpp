#pragma once

#include "metrics/evidence.hpp"
#include "report/values.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

/// @file
/// The metrics that programs offer by name. Each is a line of a table, which columns, help, CSV and JSON come from.
namespace examples::metrics {

/// What a metric is of.
enum class subject {
  layer,    // a layer h_l, l = 0..L
  pair,     // two layers: of a stack h_{l-1} and h_l, l = 1..L
  to_last,  // h_l and h_L, l = 0..L-1
};

/// What it is computed from.
enum class source {
  moments,    // second moments, of all tokens in one pass
  rows,       // the data once more, of all tokens
  sample,     // of some tokens, all of whose rows are kept
  sequences,  // of all tokens by sequences
  profile,    // numbers of the profile
};

struct metric {
  std::string_view name;  // and that of its first column
  subject of;
  source from;
  std::string_view what;
  std::string_view cost;                  // beside reading the data and taking moments
  std::vector<std::string_view> columns;  // in CSV and JSON
  std::size_t shown;                      // how many of them, the first ones, the table has
  /// A value for each column. Throws a layerwise::error where there is none.
  std::vector<report::field_value> (*compute)(evidence&);
  std::string_view alias = {};  // another name, of the library's function
};

/// Of one layer.
const std::vector<metric>& layer_metrics();
/// Of any two layers, of a stack or of two models.
const std::vector<metric>& pair_metrics();

/// The metrics of those names, `all` standing for all, in the order of `known`, each once. Throws std::invalid_argument
/// for another name, and says which there are.
std::vector<const metric*> metrics_named(std::span<const metric* const> known, const std::vector<std::string>& names);

/// A line each: "anisotropy            share of the first direction in the variance; 4/3 d^3".
std::string help_of(std::span<const metric* const> known);

}  // namespace examples::metrics
