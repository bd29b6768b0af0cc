#!/usr/bin/env bash
# Builds the Python package, examples/python_module, in a virtual environment, and runs its tests.
#
#   bash cmake/python.sh [--torch] [arguments of pytest...]
#
# --torch: also installs torch and transformers, and runs the tests of layerwise.torch; without it they run where these are
# found. LAYERWISE_PYTHON names the interpreter that the environment is made of, by default python3;
# LAYERWISE_PYTHON_VENV another environment than build/python-module-venv, with what is in it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/prerequisites.sh

install_missing g++ cmake make git libeigen3-dev python3-venv python3-dev

venv=${LAYERWISE_PYTHON_VENV:-build/python-module-venv}
python=$venv/bin/python
[ -x "$python" ] || "${LAYERWISE_PYTHON:-python3}" -m venv "$venv"

packages=(pytest numpy ml_dtypes pandas matplotlib)
if [ "${1:-}" = --torch ]; then
  shift
  packages+=(torch transformers)
  export LAYERWISE_TEST_TORCH=1
fi
pip=("$python" -m pip --disable-pip-version-check --quiet)
"${pip[@]}" install "${packages[@]}"
CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(parallel_jobs)} "${pip[@]}" install --force-reinstall --no-deps \
  ./examples/python_module

# Threads of one call that spin while another's want to run only cost time on such small data.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
exec "$python" -m pytest -p no:cacheprovider tests/python_module "$@"
