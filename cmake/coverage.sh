#!/usr/bin/env bash
# Which lines of include/layerwise the tests of the core run: the share of each header, and the lines
# that none runs. Fails if less than 98 % of the lines are run.
#
#   bash cmake/coverage.sh [arguments of the cmake configuration...]
#
# LAYERWISE_BUILD_DIR names another build folder than build-coverage/. With GCC and its gcov. A template that nothing
# instantiates has no lines; threads are off, so that counts are exact. What is left are closing braces and first lines
# of longer statements: gcov counts there what cleans up when an exception passes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/prerequisites.sh

install_missing g++ cmake make git libeigen3-dev doctest-dev lcov

build=${LAYERWISE_BUILD_DIR:-build-coverage}
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Coverage -DCMAKE_CXX_FLAGS_COVERAGE="--coverage -O0" \
  -DLAYERWISE_OPENMP=OFF -DLAYERWISE_BUILD_TESTS=ON -DLAYERWISE_BUILD_BENCHMARKS=OFF -DLAYERWISE_BUILD_EXAMPLES=OFF \
  -DLAYERWISE_INSTALL=OFF -DLAYERWISE_WERROR=OFF "$@"
cmake --build "$build" --parallel "$(parallel_jobs)" --target core_tests

find "$build" -name '*.gcda' -delete
ctest --test-dir "$build" --parallel "$(parallel_jobs)" --output-on-failure --label-regex '^core$'
lcov --quiet --capture --directory "$build" --output-file "$build/all.info"
lcov --quiet --extract "$build/all.info" "$PWD/include/*" --output-file "$build/coverage.info"

# The records of a file: SF:<name>, DA:<line>,<times run>..., end_of_record.
awk -F '[:,]' -v prefix="$PWD/include/" '
  $1 == "SF" { name = substr($2, length(prefix) + 1); lines = run = 0; missed = "" }
  $1 == "DA" { ++lines; if ($3 > 0) ++run; else missed = missed " " $2 }
  $1 == "end_of_record" {
    all += lines; all_run += run
    printf "%-36s %5d of %5d lines  %5.1f %%%s\n", name, run, lines, 100 * run / lines, missed == "" ? "" : "  not:" missed
  }
  END {
    printf "%-36s %5d of %5d lines  %5.1f %%\n", "all", all_run, all, 100 * all_run / all
    exit all_run < 0.98 * all
  }' "$build/coverage.info"
