// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/detail/config.hpp>

#include <Eigen/Core>

// Storage orders are spelled out: Eigen::MatrixXd is whatever EIGEN_DEFAULT_TO_ROW_MAJOR makes of it.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// What the solvers work on, and address through pointers: column by column.
using matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;

/// A block of tokens in double, one row per token: the form in which all kernels see the data.
using row_block = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

}  // namespace layerwise::inline LAYERWISE_ABI::detail
