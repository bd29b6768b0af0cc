#!/usr/bin/env bash
# Builds the tests and examples, sees that the benchmarks compile, and runs the tests.
#
#   bash cmake/check.sh [arguments of the cmake configuration...]
#   bash cmake/check.sh -DLAYERWISE_TEST_INTEROP=ON    also with libtorch, OpenCV, Armadillo ..., which it installs
#   bash cmake/check.sh -DLAYERWISE_TEST_LLAMA=ON      also layerwise-llama, with llama.cpp, which it gets and builds
#   bash cmake/check.sh -DLAYERWISE_TEST_PYTHON=ON     also the Python package, which cmake/python.sh builds and tests
#   LAYERWISE_BUILD_DIR=build-asan bash cmake/check.sh -DCMAKE_CXX_COMPILER=clang++ -DLAYERWISE_SANITIZE=ON
#
# LAYERWISE_BUILD_DIR names another build folder than build/; CMake remembers arguments there, so a different
# configuration deserves its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/prerequisites.sh

install_missing g++ cmake make git libeigen3-dev libcli11-dev nlohmann-json3-dev libfmt-dev gnuplot-nox \
  doctest-dev libbenchmark-dev libgmp-dev libzip-dev pkg-config clang-format-19
if [[ " $* " == *" -DLAYERWISE_TEST_INTEROP=ON "* ]]; then
  install_missing libdlpack-dev libarmadillo-dev libxtensor-dev libopencv-core-dev libtorch-dev \
    clang-19 libc++-19-dev libc++abi-19-dev
fi

build=${LAYERWISE_BUILD_DIR:-build}
if [[ " $* " == *" -DLAYERWISE_TEST_LLAMA=ON "* ]]; then
  install_missing python3 python3-pip
  bash cmake/get_llama.sh "$build/llama.cpp"
  set -- "${@/#-DLAYERWISE_TEST_LLAMA=ON/-DLAYERWISE_LLAMA_SOURCE=$build/llama.cpp}"
fi
cmake -S . -B "$build" -DLAYERWISE_BUILD_EXAMPLES=ON -DLAYERWISE_BUILD_TESTS=ON -DLAYERWISE_BUILD_BENCHMARKS=ON \
  -DLAYERWISE_QUICK=ON "$@"
cmake --build "$build" --parallel "$(parallel_jobs)"
ctest --test-dir "$build" --parallel "$(parallel_jobs)" --output-on-failure
