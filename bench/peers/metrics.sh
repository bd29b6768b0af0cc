#!/usr/bin/env bash
# Measures layerwise's metrics against the Python packages that have them, in turns on the same files, and prints a table.
#
#   bash bench/peers/metrics.sh [folder [arguments of metrics.py...]]      default: build-bench-metrics
#
# Builds our side with CXX (default: g++) and installs the packages into a virtual environment, both in the folder.
# LAYERWISE_PEERS_PYTHON names an interpreter that has them already. EIGEN names the folder of Eigen, else pkg-config is
# asked. What a peer answers is checked before it is timed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=${1:-build-bench-metrics}
shift || true
mkdir -p "$folder"

read -ra eigen <<<"${EIGEN:+-I$EIGEN}"
[ -n "${EIGEN:-}" ] || read -ra eigen < <(pkg-config --cflags eigen3)
"${CXX:-g++}" -std=c++20 -O3 -march=native -DNDEBUG -fopenmp -Iinclude "${eigen[@]}" bench/peers/metrics.cpp \
  -o "$folder/ours"

python=${LAYERWISE_PEERS_PYTHON:-$folder/venv/bin/python}
requirements=bench/peers/metrics_requirements.txt
if [ -z "${LAYERWISE_PEERS_PYTHON:-}" ] && ! cmp -s "$requirements" "$folder/venv/installed.txt"; then
  python3 -m venv "$folder/venv"
  "$python" -m pip install --disable-pip-version-check --quiet -r "$requirements"
  cp "$requirements" "$folder/venv/installed.txt"
fi

# Every library runs the kernel that it takes for this processor itself.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
threads=${OMP_NUM_THREADS:-2}
export OMP_WAIT_POLICY=passive OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads MKL_NUM_THREADS=$threads
"$python" bench/peers/metrics.py "$folder" --threads "$threads" "$@"
