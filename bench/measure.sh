#!/usr/bin/env bash
# Measures every figure of the tables of speed in bench/README.md, keeps them in bench/results/, writes the tables, and prints
# the targets and what has changed since the last results on the same kind of machine.
#
#   bash bench/measure.sh [build folder [arguments of peers/peers.py...]]      default: build-bench
#
# On a machine that does nothing else, two cores or more; some four minutes for the C++ side and the peers after it, and
# the first time more to build and to install the Python peers. The tree must be a commit. See bench/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/prerequisites.sh
install_missing g++ cmake make git libeigen3-dev libbenchmark-dev libopenblas-dev liblapack-dev libarmadillo-dev \
  python3 python3-venv

build=${1:-build-bench}
shift || true
fresh=()
[ -f "$build/CMakeCache.txt" ] || fresh=(-DLAYERWISE_BUILD_TESTS=OFF -DLAYERWISE_BUILD_EXAMPLES=OFF)
cmake -S . -B "$build" -DLAYERWISE_BUILD_BENCHMARKS=ON -DLAYERWISE_BENCH_BLAS=ON ${fresh[@]+"${fresh[@]}"}
cmake --build "$build" --parallel "$(parallel_jobs)" --target bench_profile bench_moments bench_methods bench_peers_ours

# Every library runs the kernel that it takes for this processor itself, not one that the environment asks for: that is
# often an older one, which would make ours look good. Each answer is checked, and the kernels' names are kept.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive  # the tables' "two threads", whatever there is
python3 bench/speed.py run "$build"
# Without its twin that calls OpenBLAS. Where the peers fail, the tables say so.
bash bench/peers/run.sh "$build" --ours "$build/bench/bench_peers_ours" --rounds 2 "$@" ||
  echo "measure.sh: the Python peers failed, in part at least" >&2
python3 bench/speed.py keep "$build"
