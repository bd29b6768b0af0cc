#!/usr/bin/env bash
# Builds the core's tests for another platform, and runs them there: on Windows as wine shows it, on other processors as
# qemu does. Takes half an hour each, under emulation.
#
#   bash cmake/cross.sh windows|aarch64|s390x [arguments of the cmake configuration...]
#
# LAYERWISE_BUILD_DIR names another build folder than build-<platform>/, LAYERWISE_TESTS a regular expression of the
# tests to be run (ctest -R). On Debian.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/prerequisites.sh

platform=${1:?windows, aarch64 or s390x}
shift
case "$platform" in
  windows)
    install_missing g++-mingw-w64-x86-64-posix wine wine64
    # Static, but for OpenMP's library, which CMake names by its path: wine is told where the compiler has it.
    settings=(-DCMAKE_SYSTEM_NAME=Windows -DCMAKE_CXX_COMPILER=x86_64-w64-mingw32-g++-posix
      -DCMAKE_EXE_LINKER_FLAGS=-static -DCMAKE_CROSSCOMPILING_EMULATOR=wine)
    libraries="$(dirname "$(x86_64-w64-mingw32-g++-posix -print-file-name=libgomp-1.dll)");/usr/x86_64-w64-mingw32/lib"
    export WINEPATH="Z:${libraries//;/;Z:}" WINEDEBUG=${WINEDEBUG:--all}
    ;;
  aarch64 | s390x)
    install_missing "g++-$platform-linux-gnu" qemu-user
    settings=(-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$platform"
      -DCMAKE_CXX_COMPILER="$platform-linux-gnu-g++"
      "-DCMAKE_CROSSCOMPILING_EMULATOR=qemu-$platform;-L;/usr/$platform-linux-gnu")
    ;;
  *)
    echo "No such platform: $platform" >&2
    exit 2
    ;;
esac
install_missing cmake make libeigen3-dev doctest-dev

# doctest by itself: in /usr/include lie this machine's headers, too.
build=${LAYERWISE_BUILD_DIR:-build-$platform}
mkdir -p "$build/doctest"
cp -r /usr/include/doctest "$build/doctest/"

cmake -S . -B "$build" "${settings[@]}" -DFETCHCONTENT_SOURCE_DIR_DOCTEST="$(cd "$build/doctest" && pwd)" \
  -DCMAKE_DISABLE_FIND_PACKAGE_doctest=ON -DLAYERWISE_BUILD_TESTS=ON -DLAYERWISE_BUILD_BENCHMARKS=OFF \
  -DLAYERWISE_BUILD_EXAMPLES=OFF -DLAYERWISE_INSTALL=OFF -DLAYERWISE_NATIVE=OFF "$@"
cmake --build "$build" --parallel "$(parallel_jobs)" --target core_tests
ctest --test-dir "$build" --parallel "$(parallel_jobs)" --output-on-failure --label-regex '^core$' \
  --tests-regex "${LAYERWISE_TESTS:-.}"
