// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/detail/config.hpp>

/// @file
/// The ways to solve a regression.
namespace layerwise::inline LAYERWISE_ABI {

/// How the regression behind a linearity is solved: d dimensions, n tokens. Each comes with a bound on the rounding
/// error of its score.
enum class solver {
  /// cholesky; where its error bound exceeds the tolerance, orthogonal if the data is at hand, and of moments alone
  /// rank_revealing or cholesky, whichever has the smaller bound.
  automatic,
  /// Cholesky factorization of the second moments, columns scaled to unit norm: 1.3 d^3 flops. Where the error bound
  /// exceeds the tolerance and the data is at hand, the solution is corrected by its residual there: 4 n d^2 flops.
  /// Columns that are dependent within rounding are a degenerate_input_error.
  cholesky,
  /// Householder QR of the data, block by block, then QR of R with column pivoting: 6 n d^2 flops. Where that is not
  /// accurate to the tolerance, refined by residuals in double-double, 40 n d^2 flops each. Any rank; directions below
  /// the factorization's rounding are left out. Needs the data: of moments alone it is an option_error.
  orthogonal,
  /// Cholesky factorization of the scaled second moments with complete pivoting, stopped where pivots can no longer be
  /// told from the moments' rounding: 2.3 d^3 flops. Any rank, and no data; what directions left out might
  /// have explained is part of the error bound.
  rank_revealing,
};

}  // namespace layerwise::inline LAYERWISE_ABI
