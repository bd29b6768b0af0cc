#!/usr/bin/env bash
# Uses the library as a consumer does, with old versions of CMake, from PyPI: the lowest that is promised, and that of
# Ubuntu 22.04. By add_subdirectory, FetchContent with and without an Eigen, and find_package of a tree that this
# machine's CMake has installed.
#
#   bash cmake/old_cmake.sh [version...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/prerequisites.sh

install_missing g++ cmake make git libeigen3-dev doctest-dev python3-venv
build=${LAYERWISE_BUILD_DIR:-build-old-cmake}
cmake -S . -B "$build" -DLAYERWISE_BUILD_TESTS=ON -DLAYERWISE_BUILD_BENCHMARKS=OFF -DLAYERWISE_BUILD_EXAMPLES=OFF
consume() {
  cmake -D WAY="$1" -D SETTINGS="$build/tests/project/settings.cmake" "${@:2}" -P tests/project/consume.cmake
}
consume install
folder=$(cd "$build" && pwd)

if [ $# -eq 0 ]; then set -- 3.18.4.post1 3.22.6; fi
for version in "$@"; do
  environment=$folder/cmake-$version
  if [ ! -x "$environment/bin/cmake" ]; then
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet "cmake==$version"
  fi
  "$environment/bin/cmake" --version
  for way in add_subdirectory fetch_content fetch_content_own_eigen find_package version_refused; do
    consume "$way" -D CONSUMER_CMAKE="$environment/bin/cmake"
  done
  # What is for development says so.
  output=$("$environment/bin/cmake" -S . -B "$environment/development" 2>&1) && exit 1
  grep -q "need CMake 3.25" <<<"$output"
done
echo "CMake $*: fine"
