#!/usr/bin/env bash
# Measures layerwise against the Python peers on this machine, and adds the ratios to the report.
#
#   bash bench/peers/run.sh [build folder [arguments of peers.py...]]
#
# The build folder (default: build) must be configured with the benchmarks. The peers' packages go to a virtual
# environment inside it. LAYERWISE_PEERS_PYTHON names an interpreter that has them already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

build=${1:-build}
shift || true
[ -f "$build/CMakeCache.txt" ] || { echo "run.sh: error: $build is no build folder; run cmake -B $build" >&2; exit 1; }

python=${LAYERWISE_PEERS_PYTHON:-$build/peers-venv/bin/python}
requirements=bench/peers/requirements.txt
if [ -z "${LAYERWISE_PEERS_PYTHON:-}" ] && ! cmp -s "$requirements" "$build/peers-venv/installed.txt"; then
  python3 -m venv "$build/peers-venv"
  "$python" -m pip install --disable-pip-version-check --quiet -r "$requirements"
  cp "$requirements" "$build/peers-venv/installed.txt"
fi

# The twin with OpenBLAS only exists with LAYERWISE_BENCH_BLAS. Whoever names other programs of ours has built them.
ours=("$build/bench/bench_peers_ours")
if [[ " $* " != *" --ours "* ]]; then
  cmake --build "$build" --target bench_peers
  [ ! -x "$build/bench/bench_peers_ours_blas" ] || ours+=("$build/bench/bench_peers_ours_blas")
fi

threads=2
export OMP_WAIT_POLICY=passive OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads MKL_NUM_THREADS=$threads
mkdir -p "$build/report"
status=0
"$python" bench/peers/peers.py "$build/peers-data" "$build/report/peers.json" --ours "${ours[@]}" \
  --threads "$threads" "$@" || status=$?
python3 bench/report.py "$build/report"
exit "$status"
