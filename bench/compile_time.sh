#!/usr/bin/env bash
# Measures what including layerwise costs: time and peak memory of the compiler, as a Markdown table.
#
#   bash bench/compile_time.sh [compiler...]          default: those of g++ and clang++ that are there
#
# Each figure is the median of 5 runs. EIGEN names the folder of Eigen, else pkg-config is asked. Parsing is
# -fsyntax-only; the quickstart is compiled to an object file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/prerequisites.sh
install_missing time pkg-config

if [ "$#" -eq 0 ]; then
  for compiler in g++ clang++; do
    ! command -v "$compiler" >/dev/null || set -- "$@" "$compiler"
  done
fi
read -ra eigen <<<"${EIGEN:+-I$EIGEN}"
[ -n "${EIGEN:-}" ] || read -ra eigen < <(pkg-config --cflags eigen3)

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
echo '#include <Eigen/Dense>' >"$work/eigen_dense.cpp"
echo '#include <Eigen/Core>' >"$work/eigen_core.cpp"
echo '#include <layerwise/layerwise.hpp>' >"$work/layerwise.cpp"

# cost <command...>: "<seconds> | <MB>", each the median.
cost() {
  local run
  for run in 1 2 3 4 5; do
    /usr/bin/time --format '%e %M' --output "$work/run$run" "$@"
  done
  printf '%.2f | %.0f' "$(cut -d ' ' -f 1 "$work"/run? | sort -n | sed -n 3p)" \
    "$(cut -d ' ' -f 2 "$work"/run? | sort -n | awk 'NR == 3 { print $1 / 1024 }')"
}

echo '| | compiler | time, s | peak memory, MiB |'
echo '|---|---|---:|---:|'
for compiler in "$@"; do
  name=$("$compiler" --version | head -n 1)
  compile=("$compiler" -std=c++20 -Iinclude "${eigen[@]}")
  row() { echo "| $1 | $name | $(cost "${@:2}") |"; }
  row '`Eigen/Core`, parsed' "${compile[@]}" -fsyntax-only "$work/eigen_core.cpp"
  row '`Eigen/Dense`, parsed' "${compile[@]}" -fsyntax-only "$work/eigen_dense.cpp"
  row '`layerwise/layerwise.hpp`, parsed' "${compile[@]}" -fsyntax-only "$work/layerwise.cpp"
  row 'quickstart, `-O0`' "${compile[@]}" -O0 -c examples/quickstart.cpp -o "$work/quickstart.o"
  row 'quickstart, `-O2`' "${compile[@]}" -O2 -c examples/quickstart.cpp -o "$work/quickstart.o"
done
