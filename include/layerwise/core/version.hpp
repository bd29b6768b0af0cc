// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The version. This is its only place: CMakeLists.txt reads it here.
#define LAYERWISE_VERSION_MAJOR 0  ///< x of x.y.z
#define LAYERWISE_VERSION_MINOR 2  ///< y of x.y.z
#define LAYERWISE_VERSION_PATCH 0  ///< z of x.y.z

/// One number for the preprocessor to compare: LAYERWISE_VERSION >= 200 is 0.2.0 or later.
#define LAYERWISE_VERSION (LAYERWISE_VERSION_MAJOR * 10000 + LAYERWISE_VERSION_MINOR * 100 + LAYERWISE_VERSION_PATCH)

/// Metrics and regularizers for the hidden states of transformers.
///
/// Everywhere: an embedding matrix has one row per token and one column per hidden dimension, n_tokens x
/// d; h_0 is the embedding output and h_l the output of layer l = 1..L; arithmetic is in double whatever
/// the data's precision; results are the same to the bit for any number of threads; bad input throws
/// what is derived from layerwise::error. In formulas ||.|| is the Euclidean norm of a row, ||.||_F the
/// Frobenius norm, u^ the unit vector of u.
namespace layerwise {

inline constexpr int version_major = LAYERWISE_VERSION_MAJOR;  ///< x of x.y.z
inline constexpr int version_minor = LAYERWISE_VERSION_MINOR;  ///< y of x.y.z
inline constexpr int version_patch = LAYERWISE_VERSION_PATCH;  ///< z of x.y.z

}  // namespace layerwise
