// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/detail/config.hpp>

#include <Eigen/Core>

#include <cstddef>

/// @file
/// What is counted in, and the matrices that the library makes.
namespace layerwise::inline LAYERWISE_ABI {

/// The index type of rows, columns and layers, signed as in Eigen.
using index = Eigen::Index;

/// What functions return that give a row for each token: n_tokens x d, in double. Its storage order is spelled out, as
/// Eigen::MatrixXd is whatever EIGEN_DEFAULT_TO_ROW_MAJOR makes of it.
using row_matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Second moments, d_x x d_y.
using column_matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;

namespace detail {

/// What the solvers work on, and address through pointers: column by column.
using matrix = column_matrix;

/// A block of tokens in double: the form in which all kernels see the data.
using row_block = row_matrix;

/// "12 x 768", for messages.
struct shape {
  index rows, cols;
  bool operator==(const shape&) const = default;
};

/// Element i, counted as sizes and layers are.
template <class Sequence>
auto& at(Sequence& items, index i) {
  return items[static_cast<std::size_t>(i)];
}

}  // namespace detail

}  // namespace layerwise::inline LAYERWISE_ABI
