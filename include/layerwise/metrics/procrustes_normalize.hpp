// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/kernel/scaling.hpp>
#include <layerwise/statistics/centering.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <utility>

/// @file
/// Procrustes normalization.
namespace layerwise::inline LAYERWISE_ABI {

namespace detail {

/// Of rows whose largest |element| is `peak`. A template, because a unit that does not call it is not to pay for it.
template <class Rows>
Rows normalize(Rows rows, double peak, centering center) {
  if (center == centering::columns) {
    // About the first row, so that a constant column becomes exactly 0 and an offset costs no digits. Divided
    // first only where differences overflow: beside those no small number counts.
    if (peak > largest_to_subtract && !(rows.rowwise() - rows.row(0)).allFinite()) rows *= 0x1p-2;
    const Eigen::RowVectorXd first = rows.row(0);
    rows.rowwise() -= first;
    rows *= safe_scale(rows.cwiseAbs().maxCoeff());
    const Eigen::RowVectorXd mean = rows.colwise().mean();
    rows.rowwise() -= mean;
  }
  // Centring may have taken many orders of magnitude away; norm() squares what is left.
  rows *= safe_scale(rows.cwiseAbs().maxCoeff());
  const double norm = rows.norm();
  if (norm == 0.0)
    fail<degenerate_input_error>(center == centering::columns ? "rows that differ" : "an element other than 0",
                                 "no variance", {.operand = "X"});
  rows /= norm;
  return rows;
}

}  // namespace detail

/// Procrustes normalization (arXiv 2405.12250): X~ = Xc / ||Xc||_F with Xc the column-centred X.
///
/// x: n_tokens x d. Returns an n_tokens x d matrix in double, of Frobenius norm 1, with column means 0 (or X
/// / ||X||_F with centering::none). Throws degenerate_input_error if x is empty or Xc is 0, non_finite_error
/// for NaN or infinity. Cost: three passes over n d elements.
template <embedding_matrix X>
row_matrix procrustes_normalize(const X& x, centering center = centering::columns) {
  const detail::row_reader reader(x);
  detail::require_not_empty(reader, {.operand = "X"});

  row_matrix rows(reader.rows(), reader.cols());
  double peak = 0.0;
  for (index i = 0; i < rows.rows(); ++i) {
    reader.read(i, &rows(i, 0));
    const double row_peak = detail::peak_of(&rows(i, 0), rows.cols());
    if (!std::isfinite(row_peak)) detail::fail_non_finite(&rows(i, 0), rows.cols(), {.operand = "X", .row = i});
    peak = (std::max)(peak, row_peak);
  }

  return detail::normalize(std::move(rows), peak, center);
}

}  // namespace layerwise::inline LAYERWISE_ABI
