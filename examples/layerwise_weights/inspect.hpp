#pragma once

#include "model.hpp"
#include "roles.hpp"

#include <layerwise/metrics.hpp>

#include <optional>
#include <string>
#include <vector>

namespace examples::layerwise_weights {

/// A distribution: element k is the value that k in a thousand are below, k = 0 ... 1000, interpolated linearly.
using quantiles = std::vector<double>;

/// nGPT's figure 4, of the rows of an embedding or unembedding matrix.
struct embedding_measures {
  layerwise::norm_distribution_result norms;
  quantiles norm_quantiles;
  index zero_rows = 0;                                        // which have no cosine
  std::optional<layerwise::spectrum_result> spectrum;         // of the covariance; nothing where rows are all equal
  Eigen::VectorXd over_median;                                // its eigenvalues; empty where the median is 0
  std::optional<layerwise::pairwise_cosines_result> cosines;  // without the cosines; nothing for fewer than two rows
  quantiles cosine_quantiles;                                 // of the rows sampled
};

/// nGPT's figure 5, of a matrix of a layer.
struct layer_measures {
  std::optional<layerwise::singular_spectrum_result> values;  // nothing for a matrix of zeros
  index heads = 0;                                            // 0: not known, or it has none
  std::optional<double> head_condition;  // the median of the heads'; infinite where most have a lower rank;
                                         // nothing for a matrix of zeros
};

/// One matrix, and what was measured of it.
struct matrix_report {
  std::string tensor, format;
  bool is_quantized = false;
  matrix_place place;
  index rows = 0, cols = 0;  // of the part; outputs x inputs where the architecture is known
  std::string remark;
  std::optional<embedding_measures> embedding;
  std::optional<layer_measures> layer;
};

struct model_report {
  std::string title;
  std::vector<std::string> files;
  model_config config;
  std::string config_from;
  std::vector<std::string> remarks;
  std::vector<matrix_report> matrices;    // embeddings, then layers in order, then others
  std::vector<std::string> not_measured;  // names of tensors of two dimensions or more
  index sample = 0;
  bool unit_rows = false;
};

struct inspect_options {
  std::vector<std::string> tensors;  // patterns; empty: those whose names are known
  index sample = 2048;               // rows for the cosines
  bool unit_rows = false;            // matrices of layers with vectors of length 1
};

/// Measures the matrices of a model. Matrices of layers on all threads, one each, in memory as doubles; embeddings are
/// read row by row. Throws input_error for NaN or infinity, for a format that is not read, for a pattern that no
/// name fits, and for what does not fit into memory.
model_report inspect(const model& source, const inspect_options& options);

}  // namespace examples::layerwise_weights
