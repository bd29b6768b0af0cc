#!/usr/bin/env bash
# Static analysis of the core's headers and of the examples: clang-tidy, whose checks .clang-tidy lists. Fails if it finds
# anything.
#
#   bash cmake/analyze.sh [arguments of the cmake configuration...]
#
# LAYERWISE_BUILD_DIR names another build folder than build-analyze/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/prerequisites.sh

install_missing g++ cmake make git libeigen3-dev libcli11-dev nlohmann-json3-dev libfmt-dev clang-tidy

# How the examples are compiled. Without OpenMP: GCC's omp.h is not where clang-tidy looks.
build=${LAYERWISE_BUILD_DIR:-build-analyze}
cmake -S . -B "$build" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DLAYERWISE_OPENMP=OFF -DLAYERWISE_BUILD_EXAMPLES=ON \
  -DLAYERWISE_BUILD_TESTS=OFF -DLAYERWISE_BUILD_BENCHMARKS=OFF "$@" >/dev/null

# A unit of all headers of the core. The other libraries' headers need those libraries.
unit=$build/every_header.cpp
(cd include && find layerwise -name '*.hpp' ! -path '*/interop/*' | LC_ALL=C sort | sed 's/.*/#include <&>/') >"$unit"

found=0
find examples "$unit" -name '*.cpp' -print0 |
  xargs -0 -n 1 -P "$(parallel_jobs)" clang-tidy --quiet -p "$build" --config-file=.clang-tidy || found=1
exit $found
