#!/usr/bin/env bash
# Builds a small language model in plain Eigen, runs it on a text, and shows the profile of its layers.
#
#   bash cmake/demo.sh [arguments of the cmake configuration...]
#
# LAYERWISE_BUILD_DIR names another build folder than build/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/prerequisites.sh

install_missing g++ cmake make git libeigen3-dev libcli11-dev nlohmann-json3-dev libfmt-dev gnuplot-nox

build=${LAYERWISE_BUILD_DIR:-build}
cmake -S . -B "$build" -DLAYERWISE_BUILD_EXAMPLES=ON -DLAYERWISE_BUILD_TESTS=OFF -DLAYERWISE_BUILD_BENCHMARKS=OFF "$@"
cmake --build "$build" --parallel "$(parallel_jobs)" --target live_model
"$build/examples/live_model/live_model"
