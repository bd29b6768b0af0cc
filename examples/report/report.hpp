#pragma once

#include "common/reading.hpp"
#include "report/columns.hpp"
#include "report/values.hpp"

#include <layerwise/profile.hpp>

#include <Eigen/Core>

#include <optional>
#include <string>
#include <vector>

namespace examples::report {

using layerwise::index;

/// More numbers of the layers, by name: a column each.
struct added_columns {
  std::vector<std::string> names;
  std::vector<std::string> shown;              // those that the table has
  std::vector<std::vector<field_value>> rows;  // of h_0 ... h_L a value for each name; no rows without names
  bool embeddings = false;                     // some are of h_0, which then has a row of its own, number 0
};

/// Numbers of all pairs of h_0 ... h_L.
struct layer_matrix {
  std::string name;  // in JSON
  Eigen::MatrixXd values;
};

/// A profile and what is said above it.
struct described_profile {
  std::string title;  // the model where the file names one, else the file
  std::vector<std::string> files;
  std::string dtype;                 // of the states, "F32"
  reading taken;                     // from the files
  index tokens_left_out = 0;         // by masks, --skip-first and --last-only
  std::vector<index> layer_numbers;  // of layers[0 ... L - 1] in their model
  std::vector<index> state_numbers;  // of h_0 ... h_L
  layerwise::layer_profile profile;
  added_columns added = {};
  std::vector<layer_matrix> matrices = {};
  std::optional<double> loss = {};  // the model's, where it was run: mean cross entropy of the next tokens, in nats
};

/// Of a profile whose states were not read from files.
described_profile describe_profile(std::string title, std::string text, std::string dtype,
                                   layerwise::layer_profile profile);

/// Without a choice of columns the default ones, and below them what was added.
std::string to_table(const described_profile& source, bool colour, const std::vector<column>& columns = {});
std::string to_csv(const described_profile& source);
std::string to_json(const described_profile& source);

/// Of each layer its number, as "layer", all fields, and what was added: the rows of CSV and the table. The first one is
/// that of the embeddings, where something is known of them.
std::vector<std::vector<named_value>> rows_of(const described_profile& source);

/// What was taken from the files, in one line: "read hidden_states as [token][layer][dim], as token_ids tells; ..."
std::string taken_line(const described_profile& source);

/// "12 layers, 2048 tokens, 96 dimensions, F16, last state after the final norm, columns centred"
std::string summary(const described_profile& source);

}  // namespace examples::report
