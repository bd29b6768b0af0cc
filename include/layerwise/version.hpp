// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

// The one place of the version: CMakeLists.txt reads these three lines.
#define LAYERWISE_VERSION_MAJOR 0
#define LAYERWISE_VERSION_MINOR 1
#define LAYERWISE_VERSION_PATCH 0

/// One number to compare in #if: LAYERWISE_VERSION >= 100 is 0.1.0 or later.
#define LAYERWISE_VERSION (LAYERWISE_VERSION_MAJOR * 10000 + LAYERWISE_VERSION_MINOR * 100 + LAYERWISE_VERSION_PATCH)

namespace layerwise {

inline constexpr int version_major = LAYERWISE_VERSION_MAJOR;
inline constexpr int version_minor = LAYERWISE_VERSION_MINOR;
inline constexpr int version_patch = LAYERWISE_VERSION_PATCH;

}  // namespace layerwise
